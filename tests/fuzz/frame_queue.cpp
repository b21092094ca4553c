// SPDX-License-Identifier: MIT
//
// The queue of a slow receiver against a list that holds the same frames: order, bytes and metadata
// are kept, and the bound is what it says.
#include "switch/bridge/frame_queue.h"

#include <deque>
#include <vector>

#include "switch/frame/frame_pool.h"
#include "tests/fuzz/input.h"
#include "tests/support/memory_endpoint.h"

namespace lanyard::fuzz {
namespace {

constexpr std::size_t kRecordMax = 64;  // what the queue may keep beside a frame's bytes

struct Queued {
  testing::WireFrame wire;
  std::uint32_t size = 0;
  std::uint16_t priority = 0;
  VlanId vlan = 0;
  Offload offload;
  bool tagged = false;
};

class Pair {
 public:
  void push(Input& input) {
    Outgoing out = make(input);
    const Queued wanted = describe(out);
    if (queue_.push(out)) {
      list_.push_back(wanted);
      require(bytes() <= queue_.bytes_max(), "the frames fit in the bytes there are");
    } else {
      std::size_t largest = wanted.size;
      for (const Queued& q : list_) largest = std::max<std::size_t>(largest, q.size);
      // A ring loses room only where a frame did not fit before its end.
      const std::size_t at_most = bytes() + wanted.size + largest + (list_.size() + 2) * kRecordMax;
      require(at_most > queue_.bytes_max(), "a frame is refused only when the queue is full");
    }
  }

  void peek() {
    EgressBatch batch;
    queue_.peek(pool_, batch);
    require(batch.size() == std::min(list_.size(), EgressBatch::kCapacity),
            "all are shown, up to a batch");
    for (std::size_t i = 0; i < batch.size(); ++i) compare(batch[i], list_[i]);
  }

  void pop(std::size_t count) {
    queue_.pop(count);
    for (; count != 0 && !list_.empty(); --count) list_.pop_front();
  }

  void step(Input& input) {
    switch (input.below(8)) {
      case 0:
      case 1:
      case 2: push(input); break;
      case 3: pop(1); break;
      case 4: pop(input.byte()); break;
      case 5: queue_.set_bytes_max(input.word() * std::size_t{4}); break;
      case 6: queue_.release_if_idle(); break;
      case 7:
        queue_.clear();
        list_.clear();
        break;
    }
    require(queue_.frames() == list_.size() && queue_.empty() == list_.empty(), "none is lost");
    peek();
  }

 private:
  Outgoing make(Input& input) {
    const std::uint16_t shape = input.word();
    const std::size_t size = kEthernetHeaderSize + input.word() % (1U << (shape & 0xf));
    testing::WireFrame wire;
    for (std::size_t i = 0; i < size; ++i) {
      wire.bytes.push_back(static_cast<std::uint8_t>(serial_ + i * 7));
    }
    ++serial_;
    FrameRef frame = testing::frame_of(pool_, wire);
    frame->priority = shape & kTciPriorityMask;
    frame->vlan = static_cast<VlanId>(shape >> 4 & 0xff);
    frame->offload.checksum_start = shape;
    frame->offload.needs_checksum = (shape & 0x20) != 0;
    if ((shape & 0x40) != 0 && size > 2 * kEthernetHeaderSize) split(*frame);
    return (shape & 0x10) != 0 ? Outgoing::with_tag(std::move(frame))
                               : Outgoing::untagged(std::move(frame));
  }

  // The same bytes in two pieces.
  static void split(Frame& frame) {
    const Segment whole = frame.segments[0];
    frame.segments[0].size = whole.size / 2;
    frame.segments[1] = {whole.data + whole.size / 2, whole.size - whole.size / 2};
    frame.segment_count = 2;
  }

  static Queued describe(const Outgoing& out) {
    const Frame& frame = *out.frame;
    return {testing::gathered(out), frame.size, frame.priority, frame.vlan,
            frame.offload,          out.tagged};
  }

  static void compare(const Outgoing& out, const Queued& wanted) {
    const Queued got = describe(out);
    require(got.wire == wanted.wire, "the bytes on the wire are those that were pushed");
    require(got.priority == wanted.priority && got.vlan == wanted.vlan &&
                got.offload == wanted.offload && got.tagged == wanted.tagged,
            "what stands beside the bytes is kept");
  }

  std::size_t bytes() const {
    std::size_t sum = 0;
    for (const Queued& q : list_) sum += q.size;
    return sum;
  }

  FramePool pool_;
  FrameQueue queue_{4096};
  std::deque<Queued> list_;
  std::size_t serial_ = 0;
};

}  // namespace
}  // namespace lanyard::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  lanyard::fuzz::Input input({data, size});
  lanyard::fuzz::Pair pair;
  for (int steps = 0; steps < 300 && !input.empty(); ++steps) pair.step(input);
  return 0;
}
