// What every function of the addon needs of Node-API: arguments, errors, and objects that only the
// addon can open.
#pragma once
#include <node_api.h>

#include <memory>

inline napi_value fail(napi_env env, const char* message) {
  napi_throw_error(env, nullptr, message);
  return nullptr;
}

template <int Count>
bool readArguments(napi_env env, napi_callback_info info, napi_value (&values)[Count]) {
  size_t count = Count;
  return napi_get_cb_info(env, info, &count, values, nullptr, nullptr) == napi_ok &&
         count == Count;
}

template <typename T>
T* unwrap(napi_env env, napi_value value, const napi_type_tag& tag) {
  bool matches = false;
  void* data = nullptr;
  if (napi_check_object_type_tag(env, value, &tag, &matches) != napi_ok || !matches) return nullptr;
  return napi_unwrap(env, value, &data) == napi_ok ? static_cast<T*>(data) : nullptr;
}

template <typename T>
napi_value wrap(napi_env env, std::unique_ptr<T> object, const napi_type_tag& tag) {
  napi_value value;
  const auto finalize = [](napi_env, void* data, void*) { delete static_cast<T*>(data); };
  if (napi_create_object(env, &value) != napi_ok ||
      napi_wrap(env, value, object.get(), finalize, nullptr, nullptr) != napi_ok) {
    return fail(env, "internal: an object could not be wrapped");
  }
  object.release();
  napi_type_tag_object(env, value, &tag);
  return value;
}
