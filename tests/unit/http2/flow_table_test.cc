// The table of streams against a map, through ids that come and go in any order.
#include "http2/flow_table.h"

#include <map>
#include <random>
#include <vector>

#include "http2/engine.h"
#include "http2/memory.h"

#include <doctest/doctest.h>

using namespace sluice;

namespace {

struct Plain final : http2::Flow {
  void on_field(std::string_view, std::string_view, http2::Indexing) override {}
  void on_block(http::End) override {}
  void on_bytes(net::ByteQueue&&, http::End) override {}
  void on_moved(size_t) override {}
  void on_head_sent() override {}
  void on_end_sent() override {}
  void on_gone(const http2::Gone&) override {}
};

}  // namespace

TEST_CASE("what was added is found until it is removed, and nothing else is") {
  const size_t before = http2::Memory::live();
  for (const int32_t stride : {2, 16, 1024, 1 << 16}) {
    CAPTURE(stride);
    http2::FlowTable table;
    std::map<int32_t, Plain*> model;
    std::vector<Plain> flows(300);
    std::mt19937 random(static_cast<uint32_t>(stride));
    for (int step = 0; step < 20'000; ++step) {
      const auto k = static_cast<size_t>(random() % flows.size());
      const auto id = static_cast<int32_t>(1 + static_cast<int32_t>(k) * stride);
      if (const auto at = model.find(id); at != model.end()) {
        CHECK(table.find(id) == at->second);
        table.remove(id);
        model.erase(at);
      } else {
        CHECK(table.find(id) == nullptr);
        REQUIRE(table.add(id, flows[k]));
        model[id] = &flows[k];
      }
      if (step % 1000 == 0) {
        for (const auto& [known, flow] : model) CHECK(table.find(known) == flow);
      }
      CHECK(table.size() == model.size());
    }
    while (!model.empty()) {
      table.remove(model.begin()->first);
      model.erase(model.begin());
    }
    table.rest();
    CHECK(http2::Memory::live() == before);
    CHECK(table.find(1) == nullptr);
    CHECK(table.add(1, flows[0]));
    table.remove(1);
  }
  CHECK(http2::Memory::live() == before);
}
