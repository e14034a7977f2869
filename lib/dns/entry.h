// Entry: what is known of one name and type, and when it is asked for again: the state machine of docs/dns.md.
// Owned by a Host (A, AAAA) or a Service (SRV); control thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "dns/directory.h"
#include "dns/queries.h"
#include "dns/schedule.h"
#include "net/timer.h"

namespace sluice::dns {

// What all entries of one directory share.
struct Env {
  net::Loop& loop;
  Queries& queries;
  Meter* meter;
  Random random;
  DnsOptions options;
  base::LogSite trouble_site{};   // of all names together: a server that dies must not fill the log
};

class Entry final : Queries::Asker {
 public:
  enum class Knowledge : std::uint8_t {
    unknown,
    records,
    none
  };  // none: DNS says there is nothing, or we have given up

  class Owner {
   public:
    // Something has changed, or a lookup has ended. At the loop; does not destroy the entry.
    virtual void on_entry(Entry& entry) = 0;

   protected:
    ~Owner() = default;
  };

  Entry(Env& env, const std::string& name, Type type, Owner& owner);
  void start() { ask_at(env_.loop.now()); }

  Knowledge phase() const { return phase_; }
  bool tried() const { return lookups_ != 0; }  // the first lookup has ended, however
  const std::vector<net::Address>& addresses() const { return records_.addresses; }
  const std::vector<ServiceRecord>& services() const { return records_.services; }
  RecordState state() const;
  base::Micros stale_for() const;  // 0 when fresh, or nothing is served
  base::Micros answered() const { return answered_; }  // when the last answer with records arrived
  // Records are still served although DNS says that the name is there without any of this type; since when.
  std::optional<base::Micros> held_as_empty() const {
    return held_ == Outcome::empty ? std::optional(held_since_) : std::nullopt;
  }
  bool sound() const { return failures_ == 0 && !held_; }  // the last lookup has not failed, and nothing is held
  const std::string& trouble() const { return last_error_; }
  std::optional<Change> take_change() { return std::exchange(change_, std::nullopt); }  // since the last call
  RecordStatus status() const;

  void refresh_soon();  // as soon as query_gap allows; nothing if under way
  void give_up(std::string why);  // what is served; the owner is not called
  void options_changed();

 private:
  struct Records {
    std::vector<net::Address> addresses;
    std::vector<ServiceRecord> services;
    bool operator==(const Records&) const = default;
    std::size_t size() const { return addresses.size() + services.size(); }
    std::vector<std::string> texts() const;
  };
  void on_reply(const Reply& reply) override;
  void take_records(const Reply& reply);
  void take_negative(const Reply& reply);
  void take_failure(const Reply& reply);
  void replace(Records records, Knowledge phase, std::string why);
  void hold(const Reply& reply, base::Millis ttl);
  bool too_stale() const;
  void ask_at(base::Micros at);
  void arm_give_up();
  void on_ask();
  void on_give_up();
  void log_change(const Change& change);
  std::string id() const { return name_ + ' ' + std::string(type_name(type_)); }

  Env& env_;
  const std::string& name_;
  const Type type_;
  Owner& owner_;
  Records records_;  // sorted; served
  Knowledge phase_ = Knowledge::unknown;
  std::optional<Outcome> held_;  // negative outcome that has not yet repeated for nx_hold
  base::Micros held_since_;
  base::Micros fresh_until_;  // of the last answer, also a negative one that was not held
  base::Micros answered_;  // last ok
  base::Micros heard_;  // last ok or negative
  base::Micros asked_;  // last query; 0 = never
  std::uint32_t failures_ = 0;  // in a row
  std::uint64_t lookups_ = 0;
  std::string last_error_;
  base::Micros last_error_wall_;
  std::optional<Change> change_;
  std::unique_ptr<Lookup> lookup_;
  net::Timer ask_timer_{this, net::timer_call<&Entry::on_ask>};
  net::Timer give_up_timer_{this, net::timer_call<&Entry::on_give_up>};
  base::LogSite change_site_;
};

}  // namespace sluice::dns
