// FlowTable: stream id -> Flow of one connection. Open addressing; in steady state it allocates nothing, empty and at
// rest it has no memory.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice::http2 {

class Flow;

class FlowTable {
 public:
  FlowTable() = default;
  FlowTable(const FlowTable&) = delete;
  FlowTable& operator=(const FlowTable&) = delete;
  ~FlowTable() { rest(); }

  Flow* find(int32_t id) const;  // nullptr: not here
  bool add(int32_t id, Flow& flow);  // an id that is not here, > 0; false: no memory
  void remove(int32_t id);  // one that is here
  size_t size() const { return size_; }
  void rest();  // gives its memory back; only if it is empty

 private:
  struct Slot {
    int32_t id;  // 0: free
    Flow* flow;
  };
  size_t home(int32_t id) const;
  bool grow();

  Slot* slots_ = nullptr;  // Memory's
  size_t mask_ = 0;
  size_t size_ = 0;
};

}  // namespace sluice::http2
