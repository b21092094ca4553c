// SPDX-License-Identifier: MIT
//
// Pays what frames owe (Offload) when their receiver cannot be asked to: completes a checksum, or
// cuts TCP and UDP into the segments that go on the wire.
//
// What makes it hard: the frame may be on its way to others, so its bytes are not to be changed;
// and it may be 64 KiB, so its payload is not to be copied. Each segment is therefore a small
// header of its own, in a buffer of the pool, in front of slices of the original. And headers come
// from strangers: is_sound() looks at all of it once, when the frame arrives, so that cutting
// cannot fail and need not look again.
//
// What the segments look like is what Linux makes of the same frame, byte by byte: IP
// identifications count up, FIN and PSH are in the last segment only, CWR in the first only.
// Lane thread only.
#pragma once

#include <cstddef>

#include "switch/frame/frame.h"
#include "switch/frame/virtio_header.h"

namespace lanyard {

// The long form of is_sound.
bool is_sound_debt(const Frame& frame);

// Whether what the frame owes agrees with its bytes: lengths, protocols, places.
inline bool is_sound(const Frame& frame) {
  return frame.offload.owes_nothing() || is_sound_debt(frame);
}

// The header that describes `out` as gather() lays it out: behind a tag everything is later.
VirtioHeader virtio_header_of(const Outgoing& out);

class Settler {
 public:
  explicit Settler(FramePool& pool) : pool_(pool) {}

  // The longest frame that `out` becomes, tag included.
  static std::size_t longest(const Outgoing& out);

  // Begins with a sound frame. It must stay as it is until its settled frames are gone: they
  // borrow its payload. A frame that only owes a checksum and has no other owner is paid in place.
  void begin(const Outgoing& out);

  // Adds what becomes of it, in order, as far as there is room. True when there is more to come.
  bool next(EgressBatch& into);

 private:
  // Where the next byte of the payload lies.
  struct Cursor {
    std::size_t segment = 0;
    std::size_t offset = 0;
  };

  void complete_checksum(EgressBatch& into);
  void cut_segment(EgressBatch& into);
  void write_network_header(std::uint8_t* header, std::size_t payload) const;
  void write_transport_header(std::uint8_t* header, std::size_t payload) const;
  FrameRef frame_of(std::uint8_t*& header, std::size_t header_size, std::size_t payload);
  void push(FrameRef&& frame, EgressBatch& into) const;
  std::size_t pieces(std::size_t payload) const;
  std::uint8_t* room_for(std::size_t size);

  FramePool& pool_;
  FrameRef headers_;  // the buffer that headers are written to
  std::size_t headers_used_ = 0;

  const Outgoing* out_ = nullptr;
  std::size_t network_at_ = 0;
  std::size_t done_ = 0;  // payload bytes in the segments so far
  std::size_t count_ = 0;
  Cursor cursor_;
};

}  // namespace lanyard
