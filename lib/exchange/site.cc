#include "exchange/site.h"

#include <cstring>

namespace sluice::exchange {

const net::Slice& Site::bytes_of(const ErrorPage& page) {
  net::Slice& bytes = page_bytes_[&page];
  if (bytes.empty()) {
    const auto size = static_cast<uint32_t>(page.body.size());
    net::Chunk* const chunk = net::Chunk::make(size);
    std::memcpy(chunk->data(), page.body.data(), size);
    chunk->grow_used(size);
    bytes = net::Slice(chunk, 0, size);
    chunk->unref();  // the slice counts it now
  }
  return bytes;
}

}  // namespace sluice::exchange
