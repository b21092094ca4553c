// SPDX-License-Identifier: MIT
//
// A batch of frames as guests may send them: what is joined is sound, and cut again it is the same
// frames, none lost, none made up, none changed. The input is frames, each after two bytes of
// length whose highest bit says that the frame repeats the one before with these bytes written over
// its end.
#include "switch/frame/segment_joiner.h"

#include <algorithm>
#include <vector>

#include "switch/frame/frame_pool.h"
#include "switch/frame/settler.h"
#include "tests/fuzz/input.h"
#include "tests/support/memory_endpoint.h"

namespace lanyard::fuzz {
namespace {

using testing::Bytes;

std::vector<Bytes> frames_of(std::span<const std::uint8_t> input) {
  std::vector<Bytes> frames;
  while (input.size() >= 2 && frames.size() < EgressBatch::kCapacity) {
    const std::size_t size = std::size_t{input[0] & 0x7fU} << 8 | input[1];
    const bool again = (input[0] & 0x80) != 0 && !frames.empty();
    input = input.subspan(2);
    const auto bytes = input.first(std::min(size, input.size()));
    input = input.subspan(bytes.size());
    if (!again) {
      frames.emplace_back(bytes.begin(), bytes.end());
      continue;
    }
    Bytes repeated = frames.back();
    const std::size_t count = std::min(bytes.size(), repeated.size());
    std::copy_n(bytes.begin(), count, repeated.end() - static_cast<std::ptrdiff_t>(count));
    frames.push_back(std::move(repeated));
  }
  std::erase_if(frames, [](const Bytes& frame) { return frame.size() < kEthernetHeaderSize; });
  return frames;
}

std::vector<Bytes> settled(std::span<Outgoing> frames, FramePool& pool) {
  std::vector<Bytes> wires;
  for (const Outgoing& out : frames) {
    require(is_sound(*out.frame), "what is joined is sound");
    if (out.frame->offload.owes_nothing()) {
      wires.push_back(testing::gathered(out).bytes);
      continue;
    }
    EgressBatch batch;
    Settler settler(pool);
    settler.begin(out);
    for (bool more = true; more;) {
      more = settler.next(batch);
      for (const Outgoing& one : batch) wires.push_back(testing::gathered(one).bytes);
      batch.clear();
    }
  }
  return wires;
}

// A checksum of zero may be written in two ways.
Bytes with_one_zero(Bytes wire) {
  for (std::size_t at = kEthernetHeaderSize; at + 1 < wire.size(); ++at) {
    if (wire[at] == 0xff && wire[at + 1] == 0xff) wire[at] = wire[at + 1] = 0;
  }
  return wire;
}

}  // namespace
}  // namespace lanyard::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lanyard;
  using namespace lanyard::fuzz;
  std::vector<Bytes> frames = frames_of({data, size});
  FramePool pool;
  EgressBatch in;
  for (Bytes& frame : frames) {
    in.push(
        Outgoing::untagged(pool.borrow(frame.data(), static_cast<std::uint32_t>(frame.size()))));
  }
  const std::vector<Bytes> before = frames;
  EgressBatch out;
  SegmentJoiner joiner(pool, {kMaxFrameSize, true});
  const bool joined = joiner.join(in.view(), out);
  std::vector<Bytes> after = settled(joined ? out.view() : in.view(), pool);
  require(joined == (out.size() != 0), "nothing comes out unless something was joined");
  require(!joined || out.size() < in.size(), "joining makes fewer");
  require(frames == before, "what others hold is not changed");
  std::vector<Bytes> expected = before;
  for (Bytes& wire : after) wire = with_one_zero(std::move(wire));
  for (Bytes& wire : expected) wire = with_one_zero(std::move(wire));
  std::sort(after.begin(), after.end());
  std::sort(expected.begin(), expected.end());
  require(after == expected, "cut again, it is the same frames");
  return 0;
}
