#include "house.h"

#include <algorithm>
#include <utility>

#include "config/source.h"

namespace sluice::house {
namespace {

constexpr uint64_t late_in = 64;                   // one step in so many happens a moment later than it could
constexpr base::Micros late_at_most{3'000};
constexpr uint64_t lost_in = 32;                   // one message in so many of those that may get lost
constexpr uint64_t nap_in = 128;                   // one step in so many a thread loses the processor,
constexpr uint64_t nap_most = 256;                 // for as many steps at most

}  // namespace

House::House(uint64_t seed, std::string toml) : file(std::move(toml)), random_(seed) {
  for (uint32_t i = 0; i < members; ++i) {
    Member& member = members_.emplace_back();
    member.sim = std::make_unique<support::SimLoop>(clock_);
    member.network = std::make_unique<support::SimNetwork>(*member.sim);
  }
  dns = std::make_unique<support::DnsScript>(*members_[at_control].sim);
  const auto loaded = load();
  if (!loaded) throw Broken{"the first configuration: " + base::to_text(loaded.error().front())};
  for (uint32_t i = 0; i < workers; ++i) {
    members_[i].worker = std::make_unique<runtime::Worker>(runtime::Worker::Setup{
        i, workers, members_[i].sim->loop(), *members_[i].network, shared, *this, random_.next()});
  }
  const auto load_again = [this](base::Micros) { return load(); };
  control =
      std::make_unique<runtime::Control>(runtime::Control::Setup{members_[at_control].sim->loop(),
                                                                 *members_[at_control].network,
                                                                 *dns,
                                                                 *this,
                                                                 *this,
                                                                 registry,
                                                                 shared,
                                                                 random_.next(),
                                                                 [](uint32_t wanted) { return wanted; },
                                                                 {"house.toml", load_again, runtime::Sockets::none}},
                                         loaded->snapshot);
  config::Problems warnings;
  auto built = runtime::build_generation(*loaded, nullptr, workers, clock_.wall(), warnings, runtime::Sockets::none);
  if (!built) throw Broken{"the first generation: " + base::to_text(built.error().front())};
  control->publish(std::move(*built));
}

// As Process ends: the workers give back what their requests hold, then go, then control.
House::~House() {
  after_step = nullptr;
  each_network([](support::SimNetwork& network) { network.hush(); });
  for (auto& from : mail_) {
    for (auto& queue : from) queue.clear();
  }
  jobs_.clear();
  for (uint32_t i = 0; i < workers; ++i) {
    sender_ = i;
    members_[i].worker->leave([] {});
    members_[i].worker->abort_all();
    members_[i].sim->settle();
    members_[i].worker.reset();
    members_[i].sim->settle();
  }
  for (auto& from : mail_) {
    for (auto& queue : from) queue.clear();
  }
  control.reset();
  members_[at_control].sim->settle();
}

std::expected<config::Loaded, config::Problems> House::load() const {
  return config::load(*config::Source::of("house.toml", file));
}

void House::post(uint32_t worker, Message message) {
  if (message.may_get_lost() && random_.one_in(lost_in)) return;
  runtime::Worker* const to = members_[worker].worker.get();
  mail_[sender_][worker].push_back([to, message = std::move(message)] { message(*to); });
}

bool House::submit(std::function<void()> work, std::function<void()> then) {
  submit_always(std::move(work), std::move(then));
  return true;
}

void House::submit_always(std::function<void()> work, std::function<void()> then) {
  jobs_.push_back({std::move(work), std::move(then)});
}

// Choices are numbered: loops, then the queues of mail, then the helper.
bool House::step() {
  constexpr uint32_t choices_max = members + members * members + 1;
  uint32_t choices[choices_max];
  uint32_t count = 0;
  if (random_.one_in(nap_in)) awake_at_[random_.below(members)] = steps_ + random_.below(nap_most);
  bool asleep = false;
  const auto may = [&](uint32_t member) {
    if (awake_at_[member] <= steps_) return true;
    asleep = true;
    return false;
  };
  for (uint32_t i = 0; i < members; ++i) {
    if (members_[i].sim->work_now() && may(i)) choices[count++] = i;
  }
  for (uint32_t i = 0; i < members * members; ++i) {
    if (!mail_[i / members][i % members].empty() && may(i % members)) choices[count++] = members + i;
  }
  if (!jobs_.empty()) choices[count++] = choices_max - 1;
  if (count == 0 && asleep) return ++steps_ != 0;
  if (count == 0) return pass_time();
  if (random_.one_in(late_in)) clock_.advance(base::Micros{static_cast<int64_t>(random_.below(late_at_most.count))});
  const uint32_t choice = choices[random_.below(count)];
  const uint64_t before = work_so_far();
  take(choice);
  turn_ = {runner_of(choice), work_so_far() - before};
  ++steps_;
  if (after_step) after_step();
  return true;
}

House::Runner House::runner_of(uint32_t choice) {
  if (choice >= members + members * members) return Runner::helper;
  const uint32_t member = choice < members ? choice : (choice - members) % members;
  return member == at_control ? Runner::control : Runner::worker;
}

void House::take(uint32_t choice) {
  if (choice < members) {
    sender_ = choice;
    members_[choice].sim->turn_now();
  } else if (choice < members + members * members) {
    deliver((choice - members) / members, (choice - members) % members);
  } else {
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    job.work();
    if (job.then) members_[at_control].sim->post(base::Micros{0}, std::move(job.then));
  }
  sender_ = at_control;                            // what a test does between steps counts as control's
}

// Some of what waits, as a loop finds it: in a turn of the receiver.
void House::deliver(uint32_t from, uint32_t to) {
  auto& queue = mail_[from][to];
  for (uint64_t n = random_.between(1, queue.size()); n != 0; --n) {
    members_[to].sim->post(base::Micros{0}, std::move(queue.front()));
    queue.pop_front();
  }
  sender_ = to;
  members_[to].sim->turn_now();
}

bool House::pass_time() {
  base::Micros wait{-1};
  for (const Member& member : members_) {
    const base::Micros next = member.sim->until_next();
    if (next.count >= 0 && (wait.count < 0 || next < wait)) wait = next;
  }
  if (wait.count < 0) return false;
  clock_.advance(wait);
  return true;
}

bool House::no_mail() const {
  return std::ranges::all_of(mail_, [](const auto& from) {
    return std::ranges::all_of(from, [](const auto& queue) { return queue.empty(); });
  });
}

bool House::quiet() const {
  return no_mail() && jobs_.empty() &&
         std::ranges::none_of(members_, [](const Member& m) { return m.sim->work_now(); });
}

void House::settle() {
  while (!quiet()) step();
}

void House::run_for(base::Millis span) {
  bool over = false;
  const base::Micros end = clock_.now() + span;
  members_[at_control].sim->post(span, [&over] { over = true; });
  while (!over) step();
  if (clock_.now() < end) throw Broken{"the clock of the house stands still"};
}

std::unique_ptr<support::ScriptedPeer> House::client(uint32_t worker, uint32_t listener) {
  Member& member = members_[worker];
  if (!member.worker->has_listener(listener)) return nullptr;
  support::PipeAddresses addresses;
  addresses.far = *net::Address::parse_ip("192.0.2.7", 5000);
  auto pair = support::scripted_pair(*member.sim, addresses);
  sender_ = worker;
  member.worker->bring(listener, std::move(pair.transport));
  sender_ = at_control;
  ++steps_;
  if (after_step) after_step();  // an arrival is one, too: what is true before it may not be after it
  return std::move(pair.peer);
}

void House::each_network(const std::function<void(support::SimNetwork&)>& what) {
  for (const Member& member : members_) what(*member.network);
}

}  // namespace sluice::house
