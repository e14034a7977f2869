#include "admin/gzip.h"

#include <zlib.h>

#include <algorithm>

namespace sluice::admin {
namespace {

constexpr int with_gzip_header = 15 + 16;  // the largest window; deflateInit2 in zlib.h
constexpr int quick = 1;  // of 9: figures are alike, so the rest gains little

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool is_zero(std::string_view weight) {  // "0", "0.", "0.000"
  return weight.starts_with('0') && weight.find_first_not_of("0.") == std::string_view::npos;
}

}  // namespace

std::optional<std::string> gzip(std::string_view page) {
  z_stream stream{};
  if (deflateInit2(&stream, quick, Z_DEFLATED, with_gzip_header, MAX_MEM_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
    return std::nullopt;
  std::string packed(deflateBound(&stream, page.size()), '\0');
  // zlib reads through a pointer that is not const, and does not write there.
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(page.data()));
  stream.avail_in = static_cast<uInt>(page.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  const bool whole = deflate(&stream, Z_FINISH) == Z_STREAM_END;
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  if (!whole) return std::nullopt;
  return packed;
}

bool takes_gzip(std::string_view accept_encoding) {
  while (!accept_encoding.empty()) {
    const std::size_t comma = std::min(accept_encoding.find(','), accept_encoding.size());
    const std::string_view member = accept_encoding.substr(0, comma);
    accept_encoding.remove_prefix(std::min(comma + 1, accept_encoding.size()));
    const std::size_t semicolon = std::min(member.find(';'), member.size());
    if (trimmed(member.substr(0, semicolon)) != "gzip") continue;
    const std::string_view parameter = trimmed(member.substr(std::min(semicolon + 1, member.size())));
    return !(parameter.starts_with("q=") && is_zero(parameter.substr(2)));
  }
  return false;
}

}  // namespace sluice::admin
