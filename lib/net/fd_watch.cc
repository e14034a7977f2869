// FdWatch over uv_poll_t. The handle lives in a slab cell of its own until its close callback.
#include "net/fd_watch.h"

#include <fcntl.h>
#include <uv.h>

#include "base/check.h"
#include "base/log.h"
#include "base/slab.h"
#include "net/fd.h"
#include "net/uv_driver.h"

namespace sluice::net {

struct FdWatch::Cell {
  uv_poll_t handle{};
  Loop* loop = nullptr;
  User* user = nullptr;   // nullptr: the watch is gone
  For watched = For::nothing;
  bool works = false;
};

namespace {
template <class Cell>
base::Slab<Cell>& cells() {
  thread_local base::Slab<Cell> slab;
  return slab;
}
}  // namespace

FdWatch::FdWatch(Loop& loop, int fd, User& user) : cell_(cells<Cell>().make()) {
  cell_->loop = &loop;
  cell_->user = &user;
  cell_->handle.data = cell_;
  const int error = uv_poll_init(raw(loop.driver()), &cell_->handle, fd);
  cell_->works = error == 0;
  if (!cell_->works) base::error("descriptor {} cannot be watched: {}", fd, uv_strerror(error));
}

FdWatch::~FdWatch() {
  cell_->user = nullptr;
  if (!cell_->works) {                        // libuv does not know it
    cells<Cell>().recycle(cell_);
    return;
  }
  uv_close(reinterpret_cast<uv_handle_t*>(&cell_->handle),
           [](uv_handle_t* h) { cells<Cell>().recycle(static_cast<Cell*>(h->data)); });
}

void FdWatch::watch(For what) {
  if (!cell_->works) return;
  cell_->watched = what;
  if (what == For::nothing) {
    uv_poll_stop(&cell_->handle);
    return;
  }
  const auto has = [what](For bit) { return (static_cast<int>(what) & static_cast<int>(bit)) != 0; };
  const int events = (has(For::reading) ? UV_READABLE : 0) | (has(For::writing) ? UV_WRITABLE : 0);
  const auto call = [](uv_poll_t* h, int status, int ready) {
    auto* const cell = static_cast<Cell*>(h->data);
    if (cell->user == nullptr) return;
    Loop& loop = *cell->loop;
    int bits = (ready & UV_READABLE ? 1 : 0) | (ready & UV_WRITABLE ? 2 : 0);
    if (status < 0) bits = static_cast<int>(cell->watched);
    loop.before_event();
    cell->user->on_ready(static_cast<For>(bits));
    loop.after_event();
  };
  CHECK(uv_poll_start(&cell_->handle, events, call) == 0);
}

}  // namespace sluice::net
