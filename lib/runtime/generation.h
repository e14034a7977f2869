// Generation: everything workers need of one loaded configuration, built by control, immutable afterwards, shared by
// pointer. Listening sockets and upstreams that a reload keeps are the same objects as in the generation before.
#pragma once

#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "config/diff.h"
#include "config/load.h"
#include "route/router.h"
#include "runtime/listen_socket.h"
#include "tls/context.h"
#include "upstream/shared.h"
#include "upstream/way.h"

namespace sluice::runtime {

// One listener: its options, its certificates and its sockets. The sockets pass on to the next generation as long as
// the address stays; options and certificates of a connection are those it was accepted under.
struct Listening {
  uint32_t index = 0;  // in the snapshot, and in every Site
  config::ListenerOptions options;
  std::shared_ptr<const tls::ServerContext> tls;  // nullptr: in the clear
  std::vector<std::shared_ptr<ListenSocket>> sockets;  // one per address
};

// One upstream: what the process shares about it, and how connections to it are made.
struct Backing {
  std::shared_ptr<upstream::SharedUpstream> shared;
  upstream::WayPtr way;  // the same object as long as nothing of it changes
  std::string tls_files;  // what identifies the files that its context was made from
};

struct Generation {
  std::shared_ptr<const config::Snapshot> snapshot;
  std::unique_ptr<const route::Router> router;
  std::vector<std::shared_ptr<const Listening>> listeners;  // by index
  std::vector<Backing> upstreams;  // by index
  std::vector<config::Waiting> waiting;  // what the file says and only a restart takes
};
using GenerationPtr = std::shared_ptr<const Generation>;

// The endpoints of each upstream, by index, as they were when the generation was published.
using EndpointSets = std::vector<upstream::EndpointSetPtr>;

// none: simulations bring connections themselves.
enum class Sockets : uint8_t { open, none };

// Loads certificates, compiles routes, opens the sockets that `previous` (nullptr: a cold start) does not have. Changes
// nothing of `previous`; when it fails, nothing has changed at all. Warnings are appended. May run on any thread, one
// at a time.
std::expected<GenerationPtr, config::Problems> build_generation(const config::Loaded& loaded,
                                                                const Generation* previous, uint32_t workers,
                                                                base::Micros wall, config::Problems& warnings,
                                                                Sockets sockets = Sockets::open,
                                                                std::vector<config::Waiting> waiting = {});

// What config::load() asks about files, answered by the TLS library.
config::FileChecks file_checks(base::Micros wall);

}  // namespace sluice::runtime
