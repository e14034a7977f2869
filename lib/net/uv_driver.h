// The loop driver over libuv, and what other files of net need to hang their handles on it.
#pragma once

#include <memory>

#include "net/loop.h"

#include <string_view>

struct uv_loop_s;

namespace sluice::net {

// One per loop and thread. Every handle must be closed (its owner destroyed) before the Loop is.
std::unique_ptr<LoopDriver> make_uv_driver();

// The libuv loop of a driver made by make_uv_driver(); for files of net only.
uv_loop_s* raw(LoopDriver& driver);

std::string_view libuv_version();   // of the library that runs: "1.44.2"

}  // namespace sluice::net
