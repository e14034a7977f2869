#include "dns/entry.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/log_event.h"
#include "dns/order.h"

namespace sluice::dns {
namespace {

constexpr std::uint32_t trouble_lines = 20;   // in 10 s

base::Millis up_to_millis(base::Micros span) { return base::Millis{span.count <= 0 ? 0 : (span.count + 999) / 1000}; }

std::string text(const net::Address& a) { return a.ip_text(); }
std::string text(const ServiceRecord& s) {
  return fmt::format("{}:{} {} {}", s.target.empty() ? "." : s.target, s.port, s.priority, s.weight);
}

// Texts of what is in `all` and not in `but`, at most listed_max; returns how many more there are.
template <class T, class Before>
std::uint32_t list_difference(const std::vector<T>& all, const std::vector<T>& but, Before before,
                              std::vector<std::string>& to) {
  std::vector<T> found;
  std::set_difference(all.begin(), all.end(), but.begin(), but.end(), std::back_inserter(found), before);
  for (std::size_t i = 0; i < std::min(found.size(), listed_max); ++i) to.push_back(text(found[i]));
  return static_cast<std::uint32_t>(found.size() - std::min(found.size(), listed_max));
}

std::string failure_text(const Reply& reply) {
  std::string what(outcome_name(reply.outcome));
  if (reply.answer.refusal) what.append(" (").append(ignored_name(*reply.answer.refusal)).append(")");
  return what + (reply.server.empty() ? ": no server to ask" : " from " + reply.server);
}

}  // namespace

Entry::Entry(Env& env, const std::string& name, Type type, Owner& owner)
    : env_(env), name_(name), type_(type), owner_(owner) {}

std::vector<std::string> Entry::Records::texts() const {
  std::vector<std::string> all;
  for (const auto& a : addresses) all.push_back(text(a));
  for (const auto& s : services) all.push_back(text(s));
  return all;
}

void Entry::ask_at(base::Micros at) {
  if (asked_.count != 0) at = std::max(at, asked_ + query_gap);
  ask_timer_.arm(env_.loop, up_to_millis(at - env_.loop.now()));
}

void Entry::on_ask() {
  asked_ = env_.loop.now();
  lookup_ = env_.queries.ask(name_, type_, *this);
}

void Entry::refresh_soon() {
  if (lookup_ == nullptr && tried()) ask_at(env_.loop.now());
}

void Entry::on_reply(const Reply& reply) {
  const std::unique_ptr<Lookup> done = std::move(lookup_);  // holds `reply`
  asked_ = reply.asked;
  ++lookups_;
  if (env_.meter != nullptr) {
    env_.meter->on_lookup(name_, reply.outcome, reply.ended - reply.started);
    for (std::size_t i = 0; i < ignored_reasons; ++i)
      if (reply.ignored[i] != 0) env_.meter->on_ignored(name_, static_cast<Ignored>(i), reply.ignored[i]);
  }
  if (reply.outcome == Outcome::ok) {
    take_records(reply);
  } else if (negative(reply.outcome)) {
    take_negative(reply);
  } else {
    take_failure(reply);
  }
  arm_give_up();
  owner_.on_entry(*this);
}

void Entry::take_records(const Reply& reply) {
  if (failures_ != 0 || held_) {
    base::log_event(base::LogLevel::info, "dns_answered_again",
                    {{"name", name_},
                     {"type", type_name(type_)},
                     {"server", reply.server},
                     {"after", held_ ? std::string(outcome_name(*held_)) : last_error_}});
  }
  const base::Millis ttl = positive_ttl(reply.answer.ttl, env_.options);
  fresh_until_ = reply.ended + ttl;
  answered_ = heard_ = reply.ended;
  failures_ = 0;
  last_error_.clear();
  held_.reset();
  Records records{reply.answer.addresses, reply.answer.services};
  if (phase_ != Knowledge::records || records != records_) replace(std::move(records), Knowledge::records, "answer");
  ask_at(reply.asked + refresh_after(ttl, env_.random));
}

void Entry::take_negative(const Reply& reply) {
  const base::Millis ttl = negative_ttl(reply.answer.negative_ttl, env_.options);
  heard_ = reply.ended;
  failures_ = 0;
  last_error_.clear();
  if (phase_ == Knowledge::records) {
    hold(reply, ttl);
    return;
  }
  phase_ = Knowledge::none;
  fresh_until_ = reply.ended + ttl;
  ask_at(reply.asked + refresh_after(ttl, env_.random));
}

// There were records, and now there are none, DNS says.
void Entry::hold(const Reply& reply, base::Millis ttl) {
  const std::string said = reply.outcome == Outcome::nxdomain ? "no such name" : "no records of the type";
  if (!held_) {
    held_since_ = reply.ended;
    if (env_.options.nx_hold.count != 0)
      base::log_event(base::LogLevel::warn, "dns_held",
                      {{"name", name_},
                       {"type", type_name(type_)},
                       {"server", reply.server},
                       {"why", said},
                       {"records", records_.size()},
                       {"given_up_after_s", base::Micros(env_.options.nx_hold).seconds()}});
  }
  held_ = reply.outcome;
  const base::Micros end = held_since_ + env_.options.nx_hold;
  if (reply.ended >= end || too_stale()) {
    give_up(reply.outcome == Outcome::nxdomain ? "no such name" : "no such records");
    fresh_until_ = reply.ended + ttl;
    ask_at(reply.asked + refresh_after(ttl, env_.random));
    return;
  }
  // The last question of the hold is asked at its end, so that it is over when its answer comes.
  ask_at(std::min(reply.asked + hold_interval(ttl, env_.options), end));
}

void Entry::take_failure(const Reply& reply) {
  ++failures_;
  last_error_ = failure_text(reply);
  last_error_wall_ = env_.loop.wall();
  const base::Millis wait = retry_after(failures_, env_.random);
  if (failures_ == 1 && env_.trouble_site.admit(trouble_lines)) {
    const std::string meanwhile =
        phase_ == Knowledge::records
            ? fmt::format("the last good answer ({} record(s)) serves on for at most {} s after its TTL",
                          records_.size(), base::Micros(env_.options.stale_max).seconds())
            : std::string(phase_ == Knowledge::none ? "it has no records" : "nothing is known of it");
    base::log_event(base::LogLevel::warn, "dns_failed",
                    {{"name", name_},
                     {"type", type_name(type_)},
                     {"why", last_error_},
                     {"asked_again_in_ms", wait.count},
                     {"message", meanwhile}});
  }
  if (phase_ == Knowledge::records && too_stale())
    give_up(fmt::format("stale for {} s", base::Micros(env_.options.stale_max).seconds()));
  ask_at(reply.ended + wait);
}

void Entry::replace(Records records, Knowledge phase, std::string why) {
  Change change;
  change.wall = env_.loop.wall();
  change.why = std::move(why);
  change.more = list_difference(records.addresses, records_.addresses, address_before, change.added) +
                list_difference(records.services, records_.services, std::less<>(), change.added) +
                list_difference(records_.addresses, records.addresses, address_before, change.removed) +
                list_difference(records_.services, records.services, std::less<>(), change.removed);
  records_ = std::move(records);
  phase_ = phase;
  log_change(change);
  change_ = std::move(change);
}

void Entry::give_up(std::string why) {
  held_.reset();
  replace({}, Knowledge::none, std::move(why));
  give_up_timer_.disarm();
}

bool Entry::too_stale() const { return env_.loop.now() >= fresh_until_ + env_.options.stale_max; }

void Entry::arm_give_up() {
  if (phase_ != Knowledge::records) {
    give_up_timer_.disarm();
    return;
  }
  give_up_timer_.arm(env_.loop, up_to_millis(fresh_until_ + env_.options.stale_max - env_.loop.now()));
}

void Entry::on_give_up() {
  if (sound()) return;  // the lookup under way decides
  give_up(fmt::format("stale for {} s", base::Micros(env_.options.stale_max).seconds()));
  owner_.on_entry(*this);
}

void Entry::options_changed() {
  if (phase_ == Knowledge::records) arm_give_up();
  if (failures_ != 0) refresh_soon();
}

base::Micros Entry::stale_for() const {
  if (phase_ != Knowledge::records || sound()) return {};
  return std::max(base::Micros{}, env_.loop.now() - fresh_until_);
}

RecordState Entry::state() const {
  switch (phase_) {
    case Knowledge::unknown: return RecordState::resolving;
    case Knowledge::none: return RecordState::gone;
    case Knowledge::records: return stale_for().count > 0 ? RecordState::stale : RecordState::fresh;
  }
  UNREACHABLE();
}

RecordStatus Entry::status() const {
  const base::Micros now = env_.loop.now();
  const auto millis = [](base::Micros span) { return base::Millis{std::max<std::int64_t>(0, span.count / 1000)}; };
  RecordStatus s;
  s.type = type_;
  s.state = state();
  s.records = records_.texts();
  s.ttl_left = millis(fresh_until_ - now);
  s.age = heard_.count == 0 ? base::Millis{} : millis(now - heard_);
  s.stale_for = millis(stale_for());
  s.next_query_in = ask_timer_.armed() ? millis(ask_timer_.due() - now) : base::Millis{};
  s.last_error = last_error_;
  s.last_error_wall = last_error_wall_;
  s.failures = failures_;
  s.lookups = lookups_;
  return s;
}

void Entry::log_change(const Change& change) {
  if (!change_site_.admit()) return;
  std::string line;
  for (const auto& added : change.added) line.append(" +").append(added);
  for (const auto& removed : change.removed) line.append(" -").append(removed);
  if (change.more != 0) line += fmt::format(" and {} more", change.more);
  const bool given_up = phase_ != Knowledge::records;
  base::log_event(given_up ? base::LogLevel::warn : base::LogLevel::info, given_up ? "dns_given_up" : "dns_changed",
                  {{"name", name_},
                   {"type", type_name(type_)},
                   {"records", records_.size()},
                   {"changes", std::string_view(line).substr(std::min<size_t>(line.size(), 1))},
                   {"why", change.why}});
}

}  // namespace sluice::dns
