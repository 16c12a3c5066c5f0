/** How fast a run is and when it will be done; smoothed over the last steps. */
export class Pace {
  private secondsPerImage: number | undefined;
  private last = performance.now();

  constructor(
    /** Images that remain to be trained on. */
    private remaining: number,
    /** Cost of validation relative to training, in trained images. */
    private readonly validationShare: number,
  ) {}

  /** Starts the clock anew, after something that was no training step. */
  restart(): void {
    this.last = performance.now();
  }

  /** Counts a step of `images`. */
  add(images: number): { imagesPerSecond: number; remainingSeconds: number } {
    const now = performance.now();
    // The clock's grain may show 0 for tiny networks.
    const measured = Math.max(now - this.last, 0.001) / 1000 / images;
    this.last = now;
    const before = this.secondsPerImage ?? measured;
    this.secondsPerImage = before + 0.1 * (measured - before);
    this.remaining = Math.max(0, this.remaining - images);
    return {
      imagesPerSecond: 1 / this.secondsPerImage,
      remainingSeconds: this.remaining * (1 + this.validationShare) * this.secondsPerImage,
    };
  }
}
