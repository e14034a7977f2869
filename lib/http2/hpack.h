// Header blocks (RFC 7541): nghttp2's HPACK behind two small classes, and the only place that has nghttp2. Both can
// rest: what an idle connection keeps of them is nothing on our side, and of the peer's table its entries in the form
// they came in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "http/fields.h"
#include "http2/head_reader.h"

struct nghttp2_hd_deflater;
struct nghttp2_hd_inflater;

namespace sluice::http2 {

inline constexpr uint32_t table_bytes =
    4096;  // of either dynamic table: RFC 9113 6.5.2, we announce no other and use no more

struct Line {
  std::string_view name;
  std::string_view value;
  Indexing indexing = Indexing::allowed;
};

class HeaderEncoder {
 public:
  static constexpr size_t block_max = 256 * 1024;  // that we send

  HeaderEncoder() = default;
  HeaderEncoder(const HeaderEncoder&) = delete;
  HeaderEncoder& operator=(const HeaderEncoder&) = delete;
  ~HeaderEncoder();

  // The block of `lines`, whose names are in lower case, and then `fields`, whose names need not be; it has to be sent,
  // in the order of these calls. Valid until the next encode() on this thread. Empty: it could be larger than
  // block_max, or there is no memory; nothing has changed.
  std::optional<std::string_view> encode(std::span<const Line> lines, const http::Fields& fields);
  std::optional<std::string_view> encode(std::span<const Line> lines);
  // SETTINGS_HEADER_TABLE_SIZE of the peer: in force from the next block on.
  void limit_table(uint32_t bytes);
  // Gives its memory back; the next block empties the peer's table (RFC 7541 4.2).
  void rest();

 private:
  bool wake();
  std::optional<std::string_view> deflate(size_t lines);  // of the draft

  nghttp2_hd_deflater* deflater_ = nullptr;  // nullptr: at rest
  uint32_t limit_ = table_bytes;
  bool peer_has_entries_ = false;  // of a deflater that was here before
};

class HeaderDecoder {
 public:
  enum class Got : uint8_t { line, more, whole, fault, no_memory };

  HeaderDecoder() = default;
  HeaderDecoder(const HeaderDecoder&) = delete;
  HeaderDecoder& operator=(const HeaderDecoder&) = delete;
  ~HeaderDecoder();

  // Goes on in `bytes`, and takes what it has read from their front. `last`: the block ends with them. line: `to` is
  // the next one, valid until the next call; more: all was read; whole: the block is over.
  Got next(std::string_view& bytes, bool last, Line& to);
  // Between blocks: gives back all memory but that of the entries.
  void rest();

 private:
  bool wake();
  size_t pack(char* to) const;
  void forget();

  nghttp2_hd_inflater* inflater_ = nullptr;  // nullptr: at rest
  char* kept_ = nullptr;  // a header block that makes the same table; Memory's
  size_t kept_size_ = 0;
};

}  // namespace sluice::http2
