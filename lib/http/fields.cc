// The header list: a plain array in the arena that doubles, so a usual head costs one or two bumps of a pointer.
#include "http/fields.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/text.h"

namespace sluice::http {
namespace {

constexpr uint32_t first_capacity = 20;

}  // namespace

void Fields::add(Token token, std::string_view name, std::string_view value, uint8_t flags) {
  CHECK(name.size() <= UINT16_MAX && value.size() <= UINT32_MAX);
  if (size_ == capacity_) return add_grown(token, name, value, flags);
  seen_.add(token);
  items_[size_++] = Field{
      name.data(), value.data(), static_cast<uint32_t>(value.size()), static_cast<uint16_t>(name.size()), token, flags};
}

// Apart, so that what is called a dozen times a request saves no registers for what happens once.
[[gnu::noinline]] void Fields::add_grown(Token token, std::string_view name, std::string_view value, uint8_t flags) {
  capacity_ = capacity_ == 0 ? first_capacity : capacity_ * 2;
  auto* grown = arena_->make_array<Field>(capacity_);
  if (size_ > 0) std::memcpy(grown, items_, size_ * sizeof(Field));
  items_ = grown;
  add(token, name, value, flags);
}

void Fields::set(std::string_view name, std::string_view value) {
  remove(name);
  add(name, value);
}

void Fields::set(Token token, std::string_view value) {
  remove(token);
  add(token, value);
}

uint32_t Fields::remove_all(Token token) {
  CHECK(token != Token::other);
  seen_.remove(token);
  const Field* end = std::remove_if(items_, items_ + size_, [&](const Field& f) { return f.token == token; });
  const auto gone = static_cast<uint32_t>(items_ + size_ - end);
  size_ -= gone;
  return gone;
}

uint32_t Fields::remove(std::string_view name) {
  const Token token = token_of(name);
  if (token != Token::other) return remove(token);
  const Field* end = std::remove_if(
      items_, items_ + size_, [&](const Field& f) { return f.token == Token::other && base::iequals(f.name(), name); });
  const auto gone = static_cast<uint32_t>(items_ + size_ - end);
  size_ -= gone;
  return gone;
}

void Fields::remove_at(uint32_t index) {
  CHECK(index < size_);
  std::memmove(items_ + index, items_ + index + 1, (size_ - index - 1) * sizeof(Field));
  --size_;
}

const Field* Fields::find_first(Token token) const {
  for (const Field& f : *this) {
    if (f.token == token) return &f;
  }
  return nullptr;
}

const Field* Fields::find(std::string_view name) const {
  const Token token = token_of(name);
  if (token != Token::other) return find(token);
  for (const Field& f : *this) {
    if (f.token == Token::other && base::iequals(f.name(), name)) return &f;
  }
  return nullptr;
}

uint32_t Fields::count_all(Token token) const {
  return static_cast<uint32_t>(std::count_if(begin(), end(), [&](const Field& f) { return f.token == token; }));
}

size_t Fields::bytes() const {
  size_t sum = 0;
  for (const Field& f : *this) sum += f.name_size + f.value_size;
  return sum;
}

void Fields::copy_from(const Fields& from) {
  CHECK(&from != this);
  clear();
  auto* to = static_cast<char*>(arena_->allocate(from.bytes(), 1));
  const auto place = [&to](std::string_view text) {
    char* at = to;
    if (!text.empty()) std::memcpy(at, text.data(), text.size());
    to += text.size();
    return std::string_view(at, text.size());
  };
  for (const Field& f : from) {
    const std::string_view name = place(f.name());
    add(f.token, name, place(f.value()), f.flags);
  }
}

}  // namespace sluice::http
