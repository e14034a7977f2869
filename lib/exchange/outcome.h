// How an answer speaks of the endpoint that gave it: the class that its balancing and health go by. Pure functions.
#pragma once

#include "http/head.h"
#include "upstream/cluster.h"

namespace sluice::exchange {

// Of a final head (101 or 200 and above). A gRPC call that ends in its head alone (Trailers-Only) has its status there.
upstream::Outcome outcome_of(const http::Head& head);
// Of the fields that may carry a gRPC status, head or trailers: `answered` if they have none.
upstream::Outcome outcome_of_grpc(const http::Fields& fields);
// For how long an answer that refuses asks to be left alone (RFC 9110 10.2.3), at most Standing::pause_most; 0: it does
// not. `wall`: for a date, if the answer has none of its own to compare it with.
base::Millis pause_of(const http::Head& head, base::Micros wall);
// Of its trailers (gRFC A6): grpc-retry-pushback-ms.
base::Millis pause_of_grpc(const http::Fields& fields);
// Of a stream that ended otherwise than whole. `race`: see Outcome::idle_race.
upstream::Outcome outcome_of(const http::Failure& why, bool race);

}  // namespace sluice::exchange
