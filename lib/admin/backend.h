// Backend: what the admin pages show and do; implemented by the control thread. Called on the control loop only.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace sluice::admin {

struct Readiness {
  bool ready = false;
  std::string reason;              // "starting", "warming", "deregistered", "draining"; "" when ready
};

struct Page {
  int status = 200;
  std::string type = "text/plain; charset=utf-8";
  std::string body;
  std::string encoding;            // Content-Encoding; "" = none
  std::string_view policy{};       // Content-Security-Policy, a literal; "" = none
};

// What a page is to be written in; other: nobody said.
enum class Form : uint8_t { other, text, json, openmetrics, events };

// POST /upstreams/UPSTREAM/endpoints/ENDPOINT/disable, .../enable. Views into the request.
struct EndpointOrder {
  std::string_view upstream;
  std::string_view endpoint;  // its name, as metrics and /status have it
  bool disable = false;
};

enum class Debug : uint8_t { connections, requests, waiting };

class Query;

class Backend {
 public:
  using Done = std::function<void(Page)>;
  virtual Readiness ready() = 0;
  virtual std::span<const std::string> hosts() = 0;   // `[admin] hosts`, as they are now
  // These answer later, at the control loop; `done` may be called inside the call.
  virtual void metrics(Form form, Done done) = 0;
  virtual void status(Form form, const Query& query, Done done) = 0;  // 400 for a value that is none
  virtual void pack(Page page, Done done) = 0;  // the page by gzip; as it is if that cannot be had now
  virtual void config(Done done) = 0;        // TOML, secrets hidden
  virtual void advice(Form form, Done done) = 0;  // what an operator should do now
  // The last requests that ended, by filter; 400 for a value that is none, 404 if the one asked for is not there.
  virtual void recent(Form form, const Query& query, Done done) = 0;
  virtual void debug(Debug page, const Query& query, Done done) = 0;   // JSON, or 400 for a value that is none
  // 200, or 400 with every problem of the file, or 409. `confirm`: what was in force comes back unless confirm()
  // follows within that time.
  virtual void reload(std::optional<base::Millis> confirm, Done done) = 0;
  virtual Page confirm() = 0;  // 200, or 409 if nothing waits for it
  // Of the process log, until that time is over; then the configuration's again. 200, or 400.
  virtual Page set_log_level(const Query& query) = 0;
  virtual void deregister(Done done) = 0;  // a lame duck; 200, when every worker knows
  virtual void register_again(Done done) = 0;  // and back; 200, or 409 once a drain has begun
  virtual void drain() = 0;
  // 200 when every worker knows: no new request goes there, or may again; 404 with the names that are known.
  virtual void switch_endpoint(const EndpointOrder& order, Done done) = 0;

 protected:
  ~Backend() = default;
};

}  // namespace sluice::admin
