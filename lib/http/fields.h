// Fields: an ordered header list whose array lives in the request's arena and whose names and values are views into
// memory that lives as long (the arena, or constants). Names keep the peer's case; look-ups fold it.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/arena.h"
#include "base/check.h"
#include "http/token.h"

namespace sluice::http {

struct Field {
  const char* name_at;
  const char* value_at;
  uint32_t value_size;
  uint16_t name_size;
  Token token;
  uint8_t flags;                // Field::never_indexed: HPACK must not index it (RFC 7541 7.1.3)
  static constexpr uint8_t never_indexed = 1;

  std::string_view name() const { return {name_at, name_size}; }
  std::string_view value() const { return {value_at, value_size}; }
};

class Fields {
 public:
  explicit Fields(base::Arena& arena) : arena_(&arena) {}

  // Views must outlive the arena's reset(); use arena().copy() for others. name is at most 65,535 bytes.
  void add(std::string_view name, std::string_view value) { add(token_of(name), name, value); }
  void add(Token token, std::string_view value) { add(token, name_of(token), value); }
  void add(Token token, std::string_view name, std::string_view value, uint8_t flags = 0);
  // Replaces all fields of that name by one (at the end), or adds it.
  void set(std::string_view name, std::string_view value);
  void set(Token token, std::string_view value);
  // Both return how many went.
  uint32_t remove(Token token) { return may_have(token) ? remove_all(token) : 0; }  // token != other
  uint32_t remove(std::string_view name);
  void remove_at(uint32_t index);                   // keeps the order
  void clear() {
    size_ = 0;
    seen_ = {};
  }

  // First of that name, or nullptr.
  const Field* find(Token token) const { return may_have(token) ? find_first(token) : nullptr; }
  const Field* find(std::string_view name) const;
  std::string_view value(Token token) const {
    const Field* f = find(token);
    return f == nullptr ? std::string_view() : f->value();
  }
  bool has(Token token) const { return find(token) != nullptr; }
  uint32_t count(Token token) const { return may_have(token) ? count_all(token) : 0; }

  uint32_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  Field& operator[](uint32_t i) { return items_[i]; }
  const Field& operator[](uint32_t i) const { return items_[i]; }
  const Field* begin() const { return items_; }
  const Field* end() const { return items_ + size_; }
  // Sum of name + value bytes (HTTP/2 adds 32 a field itself).
  size_t bytes() const;
  // Deep copy of all of `from` into our arena.
  void copy_from(const Fields& from);

  base::Arena& arena() const { return *arena_; }

 private:
  // Most look-ups are for what is not there: they end here.
  bool may_have(Token token) const {
    DCHECK(token != Token::other);
    return seen_.has(token);
  }
  void add_grown(Token token, std::string_view name, std::string_view value, uint8_t flags);
  uint32_t remove_all(Token token);
  const Field* find_first(Token token) const;
  uint32_t count_all(Token token) const;

  base::Arena* arena_;
  TokenSet seen_;  // all of the list, and maybe some that went by their index
  Field* items_ = nullptr;
  uint32_t size_ = 0;
  uint32_t capacity_ = 0;
};

}  // namespace sluice::http
