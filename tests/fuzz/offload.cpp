// SPDX-License-Identifier: MIT
//
// A frame with the work it owes, as a guest or a gateway may send both: what is refused is refused
// on sight, what is accepted is cut into frames that are no longer than promised and, put together,
// are the original. The input is the virtio header, two bytes of how the frame lies in memory, and
// the frame.
#include <memory>
#include <vector>

#include "switch/frame/frame_pool.h"
#include "switch/frame/settler.h"
#include "tests/fuzz/input.h"
#include "tests/support/memory_endpoint.h"

namespace lanyard::fuzz {
namespace {

using testing::Bytes;

// In memory of exactly its size; the first piece ends at `head`, the others are `piece` long.
FrameRef frame_in_pieces(FramePool& pool, std::span<std::uint8_t> bytes, std::size_t head,
                         std::size_t piece) {
  FrameRef frame = pool.borrow(bytes.data(), static_cast<std::uint32_t>(bytes.size()));
  for (std::size_t cut = head; frame->segment_count < Frame::kSegments; cut = piece) {
    Segment& last = frame->segments[frame->segment_count - 1U];
    if (cut == 0 || cut >= last.size) break;
    if (frame->segment_count == 1 && cut < kEthernetHeaderSize) break;
    frame->segments[frame->segment_count++] = {last.data + cut,
                                               static_cast<std::uint32_t>(last.size - cut)};
    last.size = static_cast<std::uint32_t>(cut);
  }
  return frame;
}

void settle(const Outgoing& out, FramePool& pool) {
  const Offload owed = out.frame->offload;
  const Bytes original = testing::gathered(out).bytes;
  const std::size_t longest = Settler::longest(out);
  const bool cuts = owed.segmentation != Offload::Segmentation::none;
  const std::size_t header = cuts ? owed.header_size : original.size();
  Bytes payload;
  std::size_t frames = 0;
  EgressBatch batch;
  Settler settler(pool);
  settler.begin(out);
  for (bool more = true; more;) {
    more = settler.next(batch);
    for (const Outgoing& one : batch) {
      const Bytes wire = testing::gathered(one).bytes;
      require(one.frame->offload.owes_nothing(), "what is settled owes nothing");
      require(wire.size() == one.wire_size() && wire.size() <= longest, "as long as promised");
      require(wire.size() >= header, "every segment has its headers");
      payload.insert(payload.end(), wire.begin() + static_cast<std::ptrdiff_t>(header), wire.end());
      ++frames;
    }
    batch.clear();
  }
  require(frames >= 1 && frames <= kSegmentsMax, "frames do not multiply");
  require(payload == Bytes(original.begin() + static_cast<std::ptrdiff_t>(header), original.end()),
          "nothing of the payload is lost or made up");
}

}  // namespace
}  // namespace lanyard::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lanyard;
  using namespace lanyard::fuzz;
  if (size < kVirtioHeaderSize + 2 + kEthernetHeaderSize) return 0;
  const std::span<const std::uint8_t, kVirtioHeaderSize> header(data, kVirtioHeaderSize);
  const std::size_t head = std::size_t{2} * data[kVirtioHeaderSize];
  const std::size_t piece = data[kVirtioHeaderSize + 1];
  std::vector<std::uint8_t> bytes(data + kVirtioHeaderSize + 2, data + size);
  FramePool pool;
  FrameRef frame = frame_in_pieces(pool, bytes, head, piece);
  const VirtioReading reading = read_virtio_header(header, frame->head(), frame->size);
  frame->offload = reading.fault == VirtioFault::none ? reading.offload : Offload::malformed();
  if (!is_sound(*frame)) return 0;
  if (frame->offload.owes_nothing()) return 0;
  const FrameRef other = (piece & 1) != 0 ? frame.share() : FrameRef();
  const std::vector<std::uint8_t> before = bytes;
  const bool changes = !other && frame->offload.segmentation == Offload::Segmentation::none;
  settle(Outgoing::untagged(std::move(frame)), pool);
  require(changes || bytes == before, "what others hold is not changed");
  return 0;
}
