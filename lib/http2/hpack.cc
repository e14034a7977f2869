// A header block that makes the same table as the peer's blocks have made is how that table rests: RFC 7541 has a form
// for it already.
#include "http2/hpack.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/text.h"
#include "http2/memory.h"

namespace sluice::http2 {
namespace {

constexpr size_t static_entries = 61;  // RFC 7541 appendix A

// nghttp2 keeps the pointer.
nghttp2_mem* memory() {
  static nghttp2_mem functions{nullptr, [](size_t n, void*) { return Memory::take(n); },
                               [](void* p, void*) { Memory::give(p); },
                               [](size_t n, size_t size, void*) { return Memory::take_zeroed(n, size); },
                               [](void* p, size_t n, void*) { return Memory::resize(p, n); }};
  return &functions;
}

std::string_view view(const uint8_t* at, size_t size) { return {reinterpret_cast<const char*>(at), size}; }
uint8_t* bytes(std::string_view text) {
  return const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(text.data()));
}  // NOLINT: C face

nghttp2_nv line(std::string_view name, std::string_view value, bool never) {
  return {bytes(name), bytes(value), name.size(), value.size(),
          never ? uint8_t{NGHTTP2_NV_FLAG_NO_INDEX} : uint8_t{NGHTTP2_NV_FLAG_NONE}};
}

// Memory of the block being made; per thread and reused, so that a head costs no allocation here.
struct Draft {
  std::vector<nghttp2_nv> lines;
  std::vector<char> names;
};
thread_local Draft draft;

// At least so many, which are filled from the front.
template <class T>
T* room_for(size_t n, std::vector<T>& in) {
  if (in.size() < n) in.resize(n);
  return in.data();
}

nghttp2_nv* put_lines(std::span<const Line> lines, nghttp2_nv* to) {
  for (const Line& l : lines) *to++ = line(l.name, l.value, l.indexing == Indexing::never);
  return to;
}

// Names in lower case (RFC 9113 8.2.1): those we know are at hand, the others are copied.
void put_fields(const http::Fields& fields, nghttp2_nv* to) {
  size_t size = 0;
  for (const http::Field& f : fields) size += f.token == http::Token::other ? f.name_size : size_t{0};
  char* at = room_for(size, draft.names);
  for (const http::Field& f : fields) {
    std::string_view name = http::name_of(f.token);
    if (f.token == http::Token::other) {
      name = {at, f.name_size};
      for (const char c : f.name()) *at++ = base::to_lower(c);
    }
    *to++ = line(name, f.value(), (f.flags & http::Field::never_indexed) != 0);
  }
}

// ---- a block that makes a table (RFC 7541 5.1, 6.2.1, 6.3) --------------------------------------------------------

// Counts only if `to` is nullptr.
class Packer {
 public:
  explicit Packer(char* to) : to_(to) {}
  void number(uint8_t pattern, unsigned prefix_bits, size_t n) {
    const size_t most = (size_t{1} << prefix_bits) - 1;
    if (n < most) return byte(pattern | static_cast<uint8_t>(n));
    byte(pattern | static_cast<uint8_t>(most));
    for (n -= most; n >= 128; n >>= 7) byte(static_cast<uint8_t>(n | 128));
    byte(static_cast<uint8_t>(n));
  }
  void text(std::string_view s) {
    number(0, 7, s.size());
    if (to_ != nullptr) std::memcpy(to_ + size_, s.data(), s.size());
    size_ += s.size();
  }
  size_t size() const { return size_; }

 private:
  void byte(unsigned b) {
    if (to_ != nullptr) to_[size_] = static_cast<char>(b);
    ++size_;
  }
  char* to_;
  size_t size_ = 0;
};

constexpr uint8_t size_update = 0x20;
constexpr unsigned size_update_bits = 5;
constexpr uint8_t with_indexing = 0x40;
constexpr unsigned with_indexing_bits = 6;

}  // namespace

// ---- ours -------------------------------------------------------------------------------------------------------

HeaderEncoder::~HeaderEncoder() { rest(); }

bool HeaderEncoder::wake() {
  if (deflater_ != nullptr) return true;
  if (nghttp2_hd_deflate_new2(&deflater_, table_bytes, memory()) != 0) {
    deflater_ = nullptr;
    return false;
  }
  if (peer_has_entries_) nghttp2_hd_deflate_change_table_size(deflater_, 0);
  if (peer_has_entries_ || limit_ < table_bytes) nghttp2_hd_deflate_change_table_size(deflater_, limit_);
  return true;
}

std::optional<std::string_view> HeaderEncoder::encode(std::span<const Line> lines, const http::Fields& fields) {
  const size_t n = lines.size() + fields.size();
  put_fields(fields, put_lines(lines, room_for(n, draft.lines)));
  return deflate(n);
}

std::optional<std::string_view> HeaderEncoder::encode(std::span<const Line> lines) {
  put_lines(lines, room_for(lines.size(), draft.lines));
  return deflate(lines.size());
}

std::optional<std::string_view> HeaderEncoder::deflate(size_t lines) {
  if (!wake()) return std::nullopt;
  thread_local std::vector<uint8_t> block;
  const size_t bound = nghttp2_hd_deflate_bound(deflater_, draft.lines.data(), lines);
  if (bound > block_max) return std::nullopt;
  if (block.size() < bound) block.resize(bound);
  peer_has_entries_ = true;
  const ssize_t n = nghttp2_hd_deflate_hd(deflater_, block.data(), block.size(), draft.lines.data(), lines);
  if (n >= 0) return view(block.data(), static_cast<size_t>(n));
  rest();  // no memory, half a block: the tables begin anew
  return std::nullopt;
}

void HeaderEncoder::limit_table(uint32_t limit) {
  limit_ = std::min(limit, table_bytes);
  if (deflater_ != nullptr) {
    nghttp2_hd_deflate_change_table_size(deflater_, limit_);
  } else {
    peer_has_entries_ = true;  // it awaits an update, at the start of the next block (RFC 7541 4.2)
  }
}

void HeaderEncoder::rest() {
  if (deflater_ != nullptr) nghttp2_hd_deflate_del(deflater_);
  deflater_ = nullptr;
}

// ---- the peer's -------------------------------------------------------------------------------------------------

HeaderDecoder::~HeaderDecoder() {
  if (inflater_ != nullptr) nghttp2_hd_inflate_del(inflater_);
  forget();
}

void HeaderDecoder::forget() {
  Memory::give(kept_);
  kept_ = nullptr;
  kept_size_ = 0;
}

HeaderDecoder::Got HeaderDecoder::next(std::string_view& from, bool last, Line& to) {
  if (inflater_ == nullptr && !wake()) return Got::no_memory;
  for (;;) {
    nghttp2_nv nv{};
    int flags = 0;
    const ssize_t n = nghttp2_hd_inflate_hd2(inflater_, &nv, &flags, bytes(from), from.size(), last ? 1 : 0);
    if (n < 0) return n == NGHTTP2_ERR_NOMEM ? Got::no_memory : Got::fault;
    from.remove_prefix(static_cast<size_t>(n));
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
      const Indexing indexing = (nv.flags & NGHTTP2_NV_FLAG_NO_INDEX) != 0 ? Indexing::never : Indexing::allowed;
      to = {view(nv.name, nv.namelen), view(nv.value, nv.valuelen), indexing};
      return Got::line;
    }
    if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) {
      nghttp2_hd_inflate_end_headers(inflater_);
      return Got::whole;
    }
    if (from.empty()) return Got::more;
  }
}

// The oldest entry first, as they came.
size_t HeaderDecoder::pack(char* to) const {
  Packer packer(to);
  packer.number(size_update, size_update_bits, nghttp2_hd_inflate_get_max_dynamic_table_size(inflater_));
  for (size_t i = nghttp2_hd_inflate_get_num_table_entries(inflater_); i > static_entries; --i) {
    const nghttp2_nv* const entry = nghttp2_hd_inflate_get_table_entry(inflater_, i);
    packer.number(with_indexing, with_indexing_bits, 0);
    packer.text(view(entry->name, entry->namelen));
    packer.text(view(entry->value, entry->valuelen));
  }
  return packer.size();
}

void HeaderDecoder::rest() {
  if (inflater_ == nullptr) return;
  const size_t size = pack(nullptr);
  auto* const kept = static_cast<char*>(Memory::take(size));
  if (kept == nullptr) return;  // no memory to save some with
  CHECK(pack(kept) == size);
  nghttp2_hd_inflate_del(inflater_);
  inflater_ = nullptr;
  kept_ = kept;
  kept_size_ = size;
}

bool HeaderDecoder::wake() {
  if (nghttp2_hd_inflate_new2(&inflater_, memory()) != 0) {
    inflater_ = nullptr;
    return false;
  }
  if (kept_ == nullptr) return true;
  std::string_view block(kept_, kept_size_);
  Line ignored;
  Got got = Got::line;
  while (got == Got::line) got = next(block, true, ignored);
  if (got == Got::whole) forget();
  return got == Got::whole;  // else for want of memory: the connection ends
}

}  // namespace sluice::http2
