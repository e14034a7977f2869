// Queries: the seam between what is known of names (Directory) and how it is asked (Resolver, or a script in tests).
// All of it belongs to the control thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "dns/answer.h"
#include "dns/options.h"

namespace sluice::dns {

// How one lookup ended.
struct Reply {
  Outcome outcome = Outcome::timeout;
  Answer answer;                 // of outcomes ok, nxdomain, empty, servfail, refused, malformed
  std::string server;  // who answered, or was asked last ("127.0.0.1:53", "/etc/hosts"); "" = nobody could be
  base::Micros started;  // when the first query left
  base::Micros asked;  // when the last one did: a TTL counts from here, as what was answered is no older
  base::Micros ended;
  IgnoredCounts ignored{};  // of all attempts, packets that were dropped on the way included
};

// A lookup under way. Its destructor cancels: nothing is heard of it afterwards.
class Lookup {
 public:
  virtual ~Lookup() = default;
};

class Queries {
 public:
  class Asker {
   public:
    // At the loop, exactly once, never within ask(). May destroy the Lookup and ask again.
    virtual void on_reply(const Reply& reply) = 0;

   protected:
    ~Asker() = default;
  };

  virtual ~Queries() = default;
  // One lookup of `name` (canonical) with all its attempts; never calls back. The asker outlives the Lookup and keeps
  // at most one in flight a name and type.
  virtual std::unique_ptr<Lookup> ask(std::string_view name, Type type, Asker& asker) = 0;
  // For lookups from now on; those under way go on as they began.
  virtual void configure(const DnsOptions& options) = 0;
};

}  // namespace sluice::dns
