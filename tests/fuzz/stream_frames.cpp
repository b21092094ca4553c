// SPDX-License-Identifier: MIT
//
// The stream of a cable, from whoever is at the other end, in pieces of a size that the first byte
// says: the frames are those of the whole stream, whatever the pieces.
#include <algorithm>
#include <vector>

#include "backend/stream_endpoint.h"
#include "tests/fuzz/plain_text.h"

namespace lanyard::fuzz {
namespace {

using Frames = std::vector<std::vector<std::uint8_t>>;

Frames read_in_pieces(std::span<const std::uint8_t> bytes, std::size_t piece) {
  StreamReader reader;
  Frames frames;
  while (!bytes.empty()) {
    const std::size_t count = std::min(piece, bytes.size());
    const std::span<std::uint8_t> room = reader.room();
    require(room.size() >= count, "there is always room");
    std::copy_n(bytes.begin(), count, room.begin());
    reader.added(count);
    bytes = bytes.subspan(count);
    while (const auto frame = reader.next()) frames.emplace_back(frame->begin(), frame->end());
  }
  return frames;
}

}  // namespace
}  // namespace lanyard::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lanyard::fuzz;
  if (size == 0) return 0;
  const std::span<const std::uint8_t> stream(data + 1, std::min<std::size_t>(size - 1, 60000));
  const Frames whole = read_in_pieces(stream, std::max<std::size_t>(stream.size(), 1));
  require(whole == read_in_pieces(stream, std::size_t{data[0]} + 1), "pieces make no difference");
  std::size_t at = 0;
  for (const auto& frame : whole) {
    require(!frame.empty(), "an empty frame is none");
    while (stream[at] == 0 && stream[at + 1] == 0) at += 2;
    require((std::size_t{stream[at]} << 8 | stream[at + 1]) == frame.size(), "the length holds");
    require(std::equal(frame.begin(), frame.end(),
                       stream.begin() + static_cast<std::ptrdiff_t>(at) + 2),
            "the bytes are those of the stream");
    at += 2 + frame.size();
  }
  return 0;
}
