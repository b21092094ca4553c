// SPDX-License-Identifier: MIT
//
// A ring whose other side writes anything: into the counters and the bytes, before and between our
// looks. What is shown lies in the ring; a writer that is told lies writes only there.
#include "switch/runtime/frame_ring.h"

#include <algorithm>
#include <vector>

#include "switch/frame/ethernet.h"
#include "tests/fuzz/input.h"

namespace lanyard {
namespace {

constexpr std::size_t kCapacity = 4096;

struct World {
  // Of exactly this size, so that a step past the end is caught.
  std::vector<std::uint8_t> memory = std::vector<std::uint8_t>(2 * kCapacity);
  FrameRingControl control{};
  FrameRingView view{&control, memory.data(), kCapacity};

  // The two halves are one, as the mapping has it.
  void mirror(std::size_t at, std::uint8_t byte) {
    memory[at % kCapacity] = memory[at % kCapacity + kCapacity] = byte;
  }
};

void read_some(World& world, FrameRingReader& reader) {
  FrameRingReader::Record record;
  for (int i = 0; i < 64 && reader.next(record) == FrameRingReader::Next::record; ++i) {
    const auto frame = record.frame();
    fuzz::require(frame.size() <= kMaxFrameSize, "no frame is longer than frames are");
    const std::uint8_t* const begin = record.header().data();
    fuzz::require(begin >= world.memory.data() + 4 &&
                      frame.data() + frame.size() <= world.memory.data() + world.memory.size(),
                  "what is shown lies in the ring");
    std::fill(frame.begin(), frame.end(), std::uint8_t{0x5a});
  }
  reader.release();
  reader.sleep();
}

void write_some(FrameRingWriter& writer, std::size_t size) {
  std::vector<std::uint8_t> frame(std::min(size, kCapacity));
  const iovec part{frame.data(), frame.size()};
  while (writer.push({}, {&part, 1}, frame.size()) == FrameRingWriter::Push::done) {
  }
  writer.publish();
  writer.wait_for_room();
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lanyard;
  fuzz::Input input({data, size});
  World incoming;
  World outgoing;
  FrameRingReader reader(incoming.view);
  FrameRingWriter writer(outgoing.view);
  while (!input.empty()) {
    switch (input.below(6)) {
      case 0: incoming.control.written = std::uint64_t{input.word()} << input.below(49); break;
      case 1: incoming.control.written += input.word() / 16U * 16U; break;
      case 2: outgoing.control.read += input.word(); break;
      case 3: {
        const std::size_t at = input.word() / 16U * 16U;
        for (std::size_t i = 0; i < 4; ++i) incoming.mirror(at + i, input.byte());
        break;
      }
      case 4: read_some(incoming, reader); break;
      default: write_some(writer, input.word()); break;
    }
  }
  return 0;
}
