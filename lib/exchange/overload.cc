#include "exchange/overload.h"

#include "base/check.h"

namespace sluice::exchange {
namespace {

base::Micros bound(http::Lane lane, base::Micros most) {
  switch (lane) {
    case http::Lane::high: return most + most;
    case http::Lane::normal: return most;
    case http::Lane::low: return base::Micros{most.count / 2};
  }
  UNREACHABLE();
}

}  // namespace

void Overload::turn(base::Micros began, base::Micros late) {
  const base::Micros most = this->most();
  if (most.count == 0 || late < most) {
    late_since_ = base::Micros{-1};
  } else if (late_since_.count < 0) {
    late_since_ = began;
  }
  if (stands(began)) begin(began);
  if (on_ && (most.count == 0 || began - refused_at_ >= memory)) on_ = false;
}

void Overload::begin(base::Micros now) {
  if (!on_) refused_at_ = now;
  on_ = true;
}

bool Overload::refuses(const Moment& moment, http::Lane lane) {
  const base::Micros most = this->most();
  const base::Micros now = moment.began + moment.so_far;
  if (moment.late >= most && stands(now)) begin(now);  // a turn can be long: its end would be too late
  const bool late = most.count != 0 && moment.late + moment.so_far >= bound(lane, most);
  if (!on_ || !late || served_in_ != moment.turn) {
    served_in_ = moment.turn;
    return false;
  }
  refused_at_ = now;
  return true;
}

}  // namespace sluice::exchange
