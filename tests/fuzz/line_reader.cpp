// SPDX-License-Identifier: MIT
//
// Bytes of a console client cut into lines: how they are cut into writes makes no difference, and
// what is kept is bounded.
#include "switch/base/line_reader.h"

#include <optional>
#include <string>
#include <vector>

#include "tests/fuzz/input.h"

namespace lanyard::fuzz {
namespace {

struct Read {
  std::vector<LineReader::Line> lines;
  bool same_as(const Read& other) const {
    return std::equal(
        lines.begin(), lines.end(), other.lines.begin(), other.lines.end(),
        [](const auto& a, const auto& b) { return a.text == b.text && a.too_long == b.too_long; });
  }
};

void take_lines(LineReader& reader, Read& into) {
  while (std::optional<LineReader::Line> line = reader.next()) into.lines.push_back(*line);
  require(reader.buffered() <= LineReader::kLineMax, "what waits for its newline is bounded");
  require(reader.has_rest() || reader.buffered() == 0, "what is buffered is the rest");
}

// `piece` bytes at a time.
Read read_in_pieces(std::string_view text, std::size_t piece) {
  LineReader reader;
  Read read;
  while (!text.empty()) {
    const std::string_view now = text.substr(0, piece);
    text.remove_prefix(now.size());
    reader.add(now);
    take_lines(reader, read);
  }
  const bool expects_rest = reader.has_rest();
  std::optional<LineReader::Line> last = reader.rest();
  require(last.has_value() == expects_rest, "there is a rest when it says so");
  if (last) read.lines.push_back(std::move(*last));
  require(!reader.rest() && !reader.next(), "nothing is left after the rest");
  return read;
}

}  // namespace
}  // namespace lanyard::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lanyard::fuzz;
  using lanyard::LineReader;
  Input input({data, size});
  const std::size_t piece = 1 + input.word();
  // A line near or past the limit, where the text asks for it with a control character.
  const std::size_t filling = LineReader::kLineMax - 128 + input.byte();
  std::string text;
  for (const std::uint8_t byte : input.rest()) {
    if (byte == 0x01 && text.size() < filling) {
      text.append(filling, 'x');
    } else {
      text += static_cast<char>(byte);
    }
  }
  const Read read = read_in_pieces(text, piece);
  for (const LineReader::Line& line : read.lines) {
    require(line.text.find('\n') == std::string::npos, "a line has no newline in it");
    require(line.text.size() <= LineReader::kLineMax, "a line is not longer than the limit");
    require(!line.too_long || line.text.empty(), "of a line that is too long nothing is shown");
  }
  require(read.same_as(read_in_pieces(text, text.size() + 1)),
          "the lines are the same however the bytes come");
  return 0;
}
