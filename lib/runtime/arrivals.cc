#include "runtime/arrivals.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace sluice::runtime {
namespace {

std::string seconds(base::Micros span) { return fmt::format("{:.7g} s", std::round(span.seconds() * 10) / 10); }

std::string counted(uint64_t number, std::string_view what) {
  return fmt::format("{} {}{}", number, what, number == 1 ? "" : "s");
}

}  // namespace

void Arrivals::Counts::add(const Counts& of_another) {
  connections += of_another.connections;
  requests += of_another.requests;
  last_connection = std::max(last_connection, of_another.last_connection);
  last_request = std::max(last_request, of_another.last_request);
}

void Arrivals::begin(base::Micros now) {
  if (counting_) return;
  counting_ = true;
  began_ = now;
  counts_ = before_last_ = {};
}

void Arrivals::request(base::Micros now, bool of_newcomer) {
  before_last_ = counts_;
  if (!counting_) return;
  ++counts_.requests;
  counts_.last_request = now - began_;
  if (!of_newcomer) return;
  ++counts_.connections;
  counts_.last_connection = now - began_;
}

std::string words_of(const Arrivals::Counts& came) {
  std::string text = came.connections == 0
                         ? "no new connection came after /readyz said 503"
                         : fmt::format("the last new connection came {} after /readyz said 503; {} came",
                                       seconds(came.last_connection), came.connections);
  if (came.requests == 0) return text + ", and no request";
  return text +
         fmt::format(", and {}, the last after {}", counted(came.requests, "request"), seconds(came.last_request));
}

std::string words_of(const Wait& wait, const Arrivals::Counts& came) {
  const base::Micros needed = std::max(base::Micros{0}, came.last_connection - wait.lead);
  const std::string cut = wait.lasted < wait.most ? fmt::format(" (cut short after {})", seconds(wait.lasted)) : "";
  return fmt::format("{} of the {} of deregister_wait{} were needed: {}", seconds(needed), seconds(wait.most), cut,
                     words_of(came));
}

}  // namespace sluice::runtime
