// Tiles of a map: where they lie, and their pixels as a transform reads them.
#pragma once
#include "simd/streaming.h"

namespace plusx::PLUSX_ISA {

// Where a block's tiles lie: tile t covers outputs kOutput·(row, column) of image n.
struct TileGrid {
  int32_t N, rows, columns;
  int32_t count() const { return N * rows * columns; }
};

template <typename Tiling>
PLUSX_INLINE TileGrid gridOf(int32_t N, int32_t height, int32_t width) {
  constexpr int kTile = Tiling::kOutput;
  return {N, (height + kTile - 1) / kTile, (width + kTile - 1) / kTile};
}

struct TilePosition {
  int32_t n, row, column;
};

PLUSX_INLINE TilePosition tileAt(const TileGrid& grid, int32_t t) {
  const int32_t inImage = t % (grid.rows * grid.columns);
  return {t / (grid.rows * grid.columns), inImage / grid.columns, inImage % grid.columns};
}

PLUSX_INLINE void advance(TilePosition& tile, const TileGrid& grid) {
  if (++tile.column < grid.columns) return;
  tile.column = 0;
  if (++tile.row < grid.rows) return;
  tile.row = 0;
  ++tile.n;
}

// What happens to an input as it is loaded.
struct Prologue {
  // (C) each or null: relu(x·scale + shift); what lies outside the image stays zero.
  const float* scale;
  const float* shift;
};

// Tiles of Edge×Edge pixels of (N, H, W, C), Advance pixels apart, the first `padding` before the first
// pixel.
template <typename Map>
struct TiledMap {
  const Map* map;
  int32_t H, W, C, padding;
};

// One of them. At the image's edges a pixel outside is read in the place of one inside, and masked.
template <int Edge, typename Map>
struct TileSource {
  const Map* first;  // where its first pixel is, or would be
  int64_t toNext;    // from there to the next tile's
  bool startsRow;    // the next tile does: it has no columns from this one
  bool inside;       // wholly: what follows is not needed
  int64_t rows[Edge], columns[Edge];
  int32_t masks[Edge * Edge];
};

template <int Edge, int Advance, typename Map>
PLUSX_INLINE TileSource<Edge, Map> tileOf(const TiledMap<Map>& map, const TileGrid& grid,
                                          const TilePosition& tile) {
  const auto placeOf = PLUSX_LAMBDA(const TilePosition& at) {
    const int64_t h = static_cast<int64_t>(at.n) * map.H + at.row * Advance - map.padding;
    return (h * map.W + at.column * Advance - map.padding) * map.C;
  };
  TilePosition next = tile;
  advance(next, grid);
  const int64_t place = placeOf(tile), toNext = placeOf(next) - place;
  const int32_t top = tile.row * Advance - map.padding, left = tile.column * Advance - map.padding;
  const bool inside = top >= 0 && left >= 0 && Edge <= map.H - top && Edge <= map.W - left;
  TileSource<Edge, Map> source;
  source.first = map.map + place;
  source.toNext = toNext;
  source.startsRow = next.column == 0;
  source.inside = inside;
  if (inside) return source;
  const auto nearest = PLUSX_LAMBDA(int32_t at, int32_t size) {
    return static_cast<int64_t>(at < 0 ? 0 : at < size ? at : size - 1);
  };
  for (int i = 0; i < Edge; ++i) {
    source.rows[i] = (nearest(top + i, map.H) - top) * map.W * map.C;
    source.columns[i] = (nearest(left + i, map.W) - left) * map.C;
    const bool row = top + i >= 0 && top + i < map.H;
    for (int j = 0; j < Edge; ++j) {
      source.masks[i * Edge + j] = -(row && left + j >= 0 && left + j < map.W);
    }
  }
  return source;
}

// Touches the pixels of a tile that the one before it in its row does not have, `channels` of each from
// `first` on.
template <int Edge, int Advance, typename Map>
PLUSX_INLINE void touchTile(const TiledMap<Map>& map, const TileSource<Edge, Map>& s, int32_t first,
                            int32_t channels) {
  if (kDirectsCaches) return;
  const int64_t row = static_cast<int64_t>(map.W) * map.C;
  for (int i = 0; i < Edge; ++i) {
    for (int j = Edge - Advance; j < Edge; ++j) {
      const int64_t place = s.inside ? i * row + int64_t{j} * map.C : s.rows[i] + s.columns[j];
      const Map* pixel = s.first + first + place;
      for (int32_t c = 0; c < channels; c += kLine<Map>) touch(pixel + c);
    }
  }
}

// The new pixels of a block of tiles, fetched so many lines at a time while another's products are computed:
// main memory keeps up with those, transforms alone would wait for it.
template <int Advance, int Lines, typename Map>
class PixelsAhead {
 public:
  // Those of `tiles` tiles, of their channels from `first` on.
  PixelsAhead(const TiledMap<Map>& map, const TileGrid& grid, int32_t firstTile, int32_t tiles,
              int32_t first, int32_t channels)
      : map_(map), grid_(grid), tiles_(0), first_(first) {
    const int64_t bytes = int64_t{sizeof(Map)} * grid.N * map.H * map.W * map.C;
    if (tiles <= 0 || bytes <= kCachedBytes) return;
    tiles_ = tiles;
    tile_ = tileAt(grid, firstTile);
    // A row's pixels lie side by side where all channels are wanted.
    const bool whole = channels == map.C;
    run_ = whole ? Advance : 1;
    bytes_ = static_cast<int32_t>(sizeof(Map)) * run_ * channels;
  }

  void fetch() {
    if (!kDirectsCaches || tiles_ == 0) return;
    const int32_t h = tile_.row * Advance + row_ + map_.padding;
    const int32_t w = tile_.column * Advance + column_ + map_.padding;
    const int64_t pixel = (static_cast<int64_t>(tile_.n) * map_.H + h) * map_.W + w;
    const char* from = reinterpret_cast<const char*>(map_.map + pixel * map_.C + first_) + done_;
#pragma GCC unroll 16
    for (int i = 0; i < Lines; ++i) __builtin_prefetch(from + i * 64, 0, 2);
    if ((done_ += Lines * 64) < bytes_) return;
    done_ = 0;
    if ((column_ += run_) < Advance) return;
    column_ = 0;
    if (++row_ < Advance) return;
    row_ = 0;
    advance(tile_, grid_);
    --tiles_;
  }

 private:
  const TiledMap<Map>& map_;
  const TileGrid& grid_;
  TilePosition tile_;
  int32_t tiles_, first_, run_, bytes_;
  int32_t row_ = 0, column_ = 0, done_ = 0;
};

PLUSX_INLINE Vector activate(Vector value, Vector scale, Vector shift) {
  const Vector mapped = value * scale + shift;
  return mapped <= Vector{} ? Vector{} : mapped;
}

// The tile's first `channels` numbers of a vector in each pixel.
template <int Edge, typename Map>
__attribute__((noinline)) void copyPart(const TiledMap<Map>& map, const TileSource<Edge, Map>& s,
                                        int32_t c, const Prologue& prologue, int32_t channels,
                                        Vector* copy) {
  Vector scale = {}, shift = {};
  if (prologue.scale) {
    scale = loadLanes(prologue.scale + c, channels);
    shift = loadLanes(prologue.shift + c, channels);
  }
  const int64_t row = static_cast<int64_t>(map.W) * map.C;
  for (int i = 0; i < Edge; ++i) {
    for (int j = 0; j < Edge; ++j) {
      const int64_t place = s.inside ? i * row + static_cast<int64_t>(j) * map.C : s.rows[i] + s.columns[j];
      Vector value = loadLanes(s.first + c + place, channels);
      if (prologue.scale) value = activate(value, scale, shift);
      const int32_t mask = s.inside ? -1 : s.masks[i * Edge + j];
      copy[i * Edge + j] = (Vector)((IntVector)value & (IntVector{} + mask));
    }
  }
}

// Calls body(in) with in(column)(row) reading channels c .. c + kWidth of the tile, a prologue applied and
// zero outside the image. The next tile's pixels come from main memory, into the second-level cache: the
// first cannot wait for so many lines at a time.
template <int Edge, int Advance, typename Map, typename Body>
PLUSX_INLINE void withTile(const TiledMap<Map>& map, const TileSource<Edge, Map>& s, int32_t c,
                           const Prologue& prologue, const Body& body) {
  const int64_t C = map.C, row = map.W * C, toNext = s.toNext;
  const Map* first = s.first + c;
  if (C - c < kWidth) {
    Vector copy[Edge * Edge];
    copyPart(map, s, c, prologue, static_cast<int32_t>(C - c), copy);
    return body(PLUSX_LAMBDA(int j) {
      const Vector* top = copy + j;
      return PLUSX_CLOSURE(int i) { return top[i * Edge]; };
    });
  }
  Vector scale = {}, shift = {};
  if (prologue.scale) {
    scale = load(prologue.scale + c);
    shift = load(prologue.shift + c);
  }
  if (s.inside) {
    const auto column = PLUSX_LAMBDA(int j) {
      const Map* top = opaque(first + j * C);
      return PLUSX_CLOSURE(int i) {
        if (j >= Edge - Advance) __builtin_prefetch(top + toNext + i * row, 0, 2);
        return load(top + i * row);
      };
    };
    if (!prologue.scale) return body(column);
    return body(PLUSX_LAMBDA(int j) {
      const auto at = column(j);
      return PLUSX_CLOSURE(int i) { return activate(at(i), scale, shift); };
    });
  }
  const int64_t* rows = s.rows;
  const bool startsRow = s.startsRow;
  const auto masked = PLUSX_LAMBDA(int j, const auto& activated) {
    const Map* next = opaque(first + j * C + toNext);
    const Map* top = opaque(first + s.columns[j]);
    const int32_t* masks = s.masks + j;
    return PLUSX_CLOSURE(int i) {
      if (j >= Edge - Advance || startsRow) __builtin_prefetch(next + i * row, 0, 2);
      const Vector value = activated(load(top + rows[i]));
      return (Vector)((IntVector)value & (IntVector{} + masks[i * Edge]));
    };
  };
  if (!prologue.scale) {
    return body(PLUSX_LAMBDA(int j) {
      return masked(j, PLUSX_CLOSURE(Vector value) { return value; });
    });
  }
  body(PLUSX_LAMBDA(int j) {
    return masked(j, PLUSX_CLOSURE(Vector value) { return activate(value, scale, shift); });
  });
}

}  // namespace plusx::PLUSX_ISA
