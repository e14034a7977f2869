// KeyedHash against the vectors of its authors.
#include "base/keyed_hash.h"

#include <string>

#include <doctest/doctest.h>

namespace sluice::base {
namespace {

// The vectors of the reference implementation: key 00 01 .. 0F, message 00 01 .. n-1.
TEST_CASE("SipHash-2-4, as its authors' vectors have it") {
  const KeyedHash hash(0x0706050403020100, 0x0F0E0D0C0B0A0908);
  std::string message;
  for (char c = 0; c < 15; ++c) message += c;
  CHECK(hash("") == 0x726FDB47DD0E0E31);
  CHECK(hash(std::string_view(message).substr(0, 1)) == 0x74F839C593DC67FD);
  CHECK(hash(std::string_view(message).substr(0, 8)) == 0x93F5F5799A932462);
  CHECK(hash(message) == 0xA129CA6149BE45E5);
}

TEST_CASE("another key, another hash") {
  CHECK(KeyedHash(1, 2)("a") != KeyedHash(1, 3)("a"));
  CHECK(KeyedHash(1, 2)("a") != KeyedHash(2, 2)("a"));
}

}  // namespace
}  // namespace sluice::base
