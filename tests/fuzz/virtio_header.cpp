// SPDX-License-Identifier: MIT
//
// The header before a frame, and the frame, as a guest or a gateway may send them: what is accepted
// can be worked on without another look.
#include "switch/frame/virtio_header.h"

#include <vector>

#include "switch/frame/ethernet.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lanyard;
  using lanyard::fuzz::require;
  if (size < kVirtioHeaderSize) return 0;
  const std::span<const std::uint8_t, kVirtioHeaderSize> header(data, kVirtioHeaderSize);
  // Of exactly this size, so that a read past the end is caught; the whole may be longer.
  const std::vector<std::uint8_t> head(data + kVirtioHeaderSize, data + size);
  const std::size_t whole = head.size() + (size % 2 == 0 ? 0 : 9000);
  const VirtioReading reading = read_virtio_header(header, head, whole);
  const Offload& o = reading.offload;
  require(!name_of(reading.fault).empty(), "every fault has a name");
  if (reading.fault != VirtioFault::none) {
    require(o == Offload{}, "what is refused owes nothing");
    return 0;
  }
  const bool segments = o.segmentation != Offload::Segmentation::none;
  if (o.needs_checksum) {
    require(o.checksum_start >= kEthernetHeaderSize, "addresses are no checksum");
    require(std::size_t{o.checksum_start} + o.checksum_offset + 2 <= head.size(),
            "the checksum lies in the head");
  }
  require(segments == (o.segment_size != 0), "segments have a size");
  if (segments) {
    require(o.needs_checksum, "segments need checksums");
    require(o.header_size > o.checksum_start && o.header_size <= head.size(),
            "the headers lie in the head");
    require(whole - o.header_size > o.segment_size, "one segment is none");
    require((whole - o.header_size) / o.segment_size <= kSegmentsMax, "frames do not multiply");
  }
  const VirtioReading again = read_virtio_header(make_virtio_header(o), head, whole);
  require(again.fault == VirtioFault::none && again.offload == o, "it survives the way there");
  return 0;
}
