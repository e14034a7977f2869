// Maglev: which endpoint a key belongs to (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load
// Balancer", NSDI 2016, 3.4). A table of a prime number of places; endpoints claim places in turn, by weight, each in
// an order of its own that only its identity decides. So every process that has the same endpoints has the same table,
// and when one of n leaves about 1/n of the places change hands. Built by control, in 10 to 20 ms for a thousand
// endpoints; a look-up reads one place.
//
// Nothing here is secret. Who chooses keys to meet at one endpoint chooses an endpoint for their own requests, no more:
// RingHash's bound keeps it from being busier than the others.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace sluice::upstream {

class Maglev {
 public:
  static constexpr std::uint32_t places_least = 65'537;
  static constexpr std::uint32_t places_each = 64;  // at least as many per endpoint, up to the largest table
  static constexpr std::uint32_t places_most = 1'048'583;

  struct Owner {
    std::uint64_t identity = 0;  // unlike that of every other
    std::uint32_t weight = 1;
    std::uint32_t index = 0;  // what at() returns
  };
  void build(std::vector<Owner> owners);
  bool empty() const { return places_.empty(); }
  std::uint32_t size() const { return static_cast<std::uint32_t>(places_.size()); }
  // The key's owner, and with a higher `probe` who comes next for it: another draw for each key, so what one owner
  // leaves is shared by all others.
  std::uint32_t at(std::uint64_t key, std::uint32_t probe) const {
    return places_[static_cast<std::size_t>(probe == 0 ? key : mix(key + probe)) % places_.size()];
  }

  static std::uint64_t mix(std::uint64_t x);  // every bit of x moves half of the result's

 private:
  std::vector<std::uint32_t> places_;
};

// Of bytes that all processes have alike: an endpoint's name, a request's key. Never 0.
std::uint64_t ring_hash(std::string_view bytes);

}  // namespace sluice::upstream
