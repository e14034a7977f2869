// The words of CloseCause in metrics and logs: the names of the enum.
#include "http/close_cause.h"

namespace sluice::http {

std::string_view cause_word(CloseCause cause) {
  switch (cause) {
#define WORD(name) \
  case CloseCause::name: return #name
    WORD(peer_closed);
    WORD(peer_reset);
    WORD(peer_asked);
    WORD(idle_timeout);
    WORD(max_lifetime);
    WORD(max_requests);
    WORD(protocol_error);
    WORD(extra_bytes);
    WORD(request_aborted);
    WORD(connect_failed);
    WORD(timeout);
    WORD(write_stalled);
    WORD(health);
    WORD(dns_removed);
    WORD(reload);
    WORD(drain);
    WORD(given_up);
    WORD(shed);
    WORD(tunnel_end);
    WORD(tls_failed);
    WORD(error);
#undef WORD
  }
  return "";
}

}  // namespace sluice::http
