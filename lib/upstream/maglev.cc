#include "upstream/maglev.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/keyed_hash.h"

namespace sluice::upstream {
namespace {

constexpr std::uint32_t nobody = ~0u;
constexpr std::array<std::uint32_t, 5> primes{Maglev::places_least, 131'101, 262'147, 524'309, Maglev::places_most};

std::uint32_t places_for(std::size_t owners) {
  const auto enough = [owners](std::uint32_t prime) { return prime >= owners * Maglev::places_each; };
  const auto found = std::find_if(primes.begin(), primes.end(), enough);
  return found != primes.end() ? *found : primes.back();
}

// An owner's way through the table: all places, each once, as the number of places is prime.
struct Claimant {
  double due = 0;  // claims so far / weight: who is furthest behind is next
  std::uint32_t rank = 0;  // by identity: ties go alike in every process
  std::uint32_t next = 0;
  std::uint32_t skip = 1;
  std::uint32_t claims = 0;
  bool later_than(const Claimant& o) const { return due != o.due ? due > o.due : rank > o.rank; }
};

}  // namespace

std::uint64_t Maglev::mix(std::uint64_t x) {  // the finaliser of splitmix64
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

void Maglev::build(std::vector<Owner> owners) {
  places_.clear();
  if (owners.empty()) return;
  CHECK(owners.size() <= places_most);
  std::sort(owners.begin(), owners.end(), [](const Owner& a, const Owner& b) { return a.identity < b.identity; });
  const std::uint32_t size = places_for(owners.size());
  places_.assign(size, nobody);
  std::vector<Claimant> claimants;
  claimants.reserve(owners.size());
  for (std::uint32_t rank = 0; rank < owners.size(); ++rank) {
    CHECK(owners[rank].weight > 0);
    const std::uint64_t identity = owners[rank].identity;
    claimants.push_back({.rank = rank,
                         .next = static_cast<std::uint32_t>(mix(identity) % size),
                         .skip = static_cast<std::uint32_t>(mix(identity + 1) % (size - 1)) + 1});
  }
  const auto later = [](const Claimant& a, const Claimant& b) { return a.later_than(b); };
  std::make_heap(claimants.begin(), claimants.end(), later);
  for (std::uint32_t taken = 0; taken < size; ++taken) {
    std::pop_heap(claimants.begin(), claimants.end(), later);
    Claimant& claimant = claimants.back();
    while (places_[claimant.next] != nobody) claimant.next = (claimant.next + claimant.skip) % size;
    const Owner& owner = owners[claimant.rank];
    places_[claimant.next] = owner.index;
    claimant.due = static_cast<double>(++claimant.claims) / owner.weight;
    std::push_heap(claimants.begin(), claimants.end(), later);
  }
}

std::uint64_t ring_hash(std::string_view bytes) {
  static const base::KeyedHash hash(0x736c'7569'6365'2072, 0x696e'6720'6861'7368);  // for spread, no secret
  return std::max<std::uint64_t>(hash(bytes), 1);
}

}  // namespace sluice::upstream
