// Shared pointers that one thread copies often: a copy of one that other threads copy too writes a cache line that they
// all write.
#pragma once

#include <memory>
#include <utility>

namespace sluice::base {

// The same object, with a count of its own, for one thread: its copies leave the count of `shared` alone. It holds one
// reference of `shared` until the last copy has gone.
template <class T>
std::shared_ptr<T> counted_here(std::shared_ptr<T> shared) {
  if (shared == nullptr) return nullptr;
  T* const object = shared.get();
  return {std::make_shared<std::shared_ptr<T>>(std::move(shared)), object};
}

}  // namespace sluice::base
