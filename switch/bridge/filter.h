// SPDX-License-Identifier: MIT
//
// What may look at frames beside the switch itself: filters, in a chain, on the way in (before
// anything else is decided) and on the way out (a port's batch, before its plugs get it). A filter
// lets a frame pass, drops it, alters it, or holds it and hands it back later
// (Switch::resume_ingress, resume_egress).
//
// What makes it hard: a switch without filters must not pay for them, so the chain is asked by one
// predictable branch a batch. A flooded frame is one frame with many owners, so who alters it takes
// a copy of his own first (unshare). And every frame stays accounted for: a dropped one has a name
// at its port; a held one is not counted as received, or offered, until it comes back.
// Lane thread only. A filter may be added or removed between batches, not from within a call.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "switch/bridge/port.h"
#include "switch/frame/frame_pool.h"

namespace lanyard {

class Filter {
 public:
  enum class Verdict : std::uint8_t {
    pass,
    drop,
    held,  // the filter has moved the frame out
  };

  virtual ~Filter() = default;
  // Of higher priority: nearer to the wire, that is first on the way in and last on the way out.
  virtual int priority() const { return 0; }
  // Verdicts are `pass` before the call.
  virtual void ingress(PortId in, std::span<FrameRef> frames, std::span<Verdict> verdicts) = 0;
  virtual void egress(PortId out, std::span<Outgoing> frames, std::span<Verdict> verdicts) = 0;
};

class FilterChain {
 public:
  bool empty() const { return filters_.empty(); }
  void add(Filter& filter);
  void remove(const Filter& filter) { std::erase(filters_, &filter); }

  // Takes what the filters drop or hold out of the batch. With `behind`, only the filters that
  // come after that one are asked.
  void ingress(Port& in, FrameBatch& batch, const Filter* behind = nullptr) const;
  void egress(Port& out, EgressBatch& batch, const Filter* behind = nullptr) const;

 private:
  std::vector<Filter*> filters_;  // in ingress order
};

// Makes the frame one with a single owner and a single segment, whose bytes may be written; up to
// the size of the pool's buffers there is room.
void unshare(FrameRef& frame, FramePool& pool);

}  // namespace lanyard
