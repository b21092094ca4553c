// SPDX-License-Identifier: MIT
//
// A console client that writes any bytes in pieces of any size: what comes back can always be
// read. The input is two bytes of how it is written, then what is written; from a NUL NUL on it is
// the script that any `load` gets, whatever name it says: nothing here opens a file.
#include <algorithm>
#include <optional>
#include <string>

#include "tests/fuzz/console_world.h"
#include "tests/fuzz/transcript.h"

namespace lanyard::fuzz {
namespace {

constexpr int kTurnsMax = 20000;
constexpr std::size_t kPiecesMax = 4096;
constexpr std::string_view kScriptFollows("\0\0", 2);

// Wherever the word stands in a line: a silence in the wrong place would make a line begin there.
std::string with_own_script(std::string_view text, const std::string& path) {
  std::string safe;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    const bool ended = line.size() < text.size();
    text.remove_prefix(line.size() + (ended ? 1 : 0));
    if (line.find("load") != std::string_view::npos) {
      safe += "load " + path;
    } else {
      safe += line;
    }
    if (ended) safe += '\n';
  }
  return safe;
}

// What a client must be able to count on: one prompt a line, up to the word that ends the session.
struct Expected {
  std::size_t prompts = 0;
  bool ended = false;

  explicit Expected(std::string_view written) {
    LineReader reader;
    reader.add(written);
    while (!ended) {
      std::optional<LineReader::Line> line = reader.next();
      if (!line) line = reader.rest();
      if (!line) break;
      const std::string_view said = trim(line->text);
      ended = said.starts_with("logout") || said.starts_with("shutdown");
      if (!ended) ++prompts;
    }
  }
};

class Client {
 public:
  explicit Client(ConsoleWorld& world) : world_(world) {
    std::array<int, 2> ends{};
    require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) == 0,
            "the machine lends us a pair of sockets");
    mine_.reset(ends[0]);
    session_.emplace(world.console(), ConsoleSession::Kind::socket, ends[1], ends[1]);
    require(session_->start().ok(), "a session starts");
  }

  void write(std::string_view text) {
    for (int i = 0; i < kTurnsMax && !text.empty() && !session_->finished(); ++i) {
      const ssize_t count = ::send(mine_.get(), text.data(), text.size(), MSG_NOSIGNAL);
      if (count > 0) text.remove_prefix(static_cast<std::size_t>(count));
      turn();
    }
  }

  std::string end() {
    ::shutdown(mine_.get(), SHUT_WR);
    for (int i = 0; i < kTurnsMax && !session_->finished(); ++i) turn();
    require(session_->finished(), "a session ends after its input");
    return std::move(heard_);
  }

 private:
  void turn() {
    world_.turn();
    std::array<char, 65536> chunk{};
    ssize_t count = 0;
    while ((count = ::recv(mine_.get(), chunk.data(), chunk.size(), 0)) > 0) {
      heard_.append(chunk.data(), static_cast<std::size_t>(count));
    }
  }

  ConsoleWorld& world_;
  UniqueFd mine_;
  std::optional<ConsoleSession> session_;
  std::string heard_;
};

}  // namespace
}  // namespace lanyard::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lanyard::fuzz;
  Input input({data, size});
  const std::size_t wanted_piece = 1 + input.byte() * std::size_t{4};
  const std::size_t filling = input.byte();
  const std::string_view all = as_text(input.rest());
  const std::size_t script_at = std::min(all.find(kScriptFollows), all.size());
  const MemoryFile file;
  std::string text = with_own_script(all.substr(0, script_at), file.path());
  file.write(with_own_script(all.substr(std::min(script_at + kScriptFollows.size(), all.size())),
                             file.path()));
  if (filling >= 128) text.insert(text.size() / 2, (filling - 64) * 1024, 'x');

  // A round for each byte of the longest lines would be many seconds.
  const std::size_t piece = std::max(wanted_piece, text.size() / kPiecesMax);

  ConsoleWorld world;
  const lanyard::Time start = world.loop().now();
  Client client(world);
  for (std::size_t at = 0; at < text.size(); at += piece) {
    client.write(std::string_view(text).substr(at, piece));
  }
  const Transcript heard(client.end());
  // A line without an end runs after a silence; a machine that stood still may have been one.
  if (world.loop().now() - start < std::chrono::milliseconds(90)) {
    const Expected expected(text);
    require(heard.prompts() == expected.prompts, "every line gets its prompt");
    require(heard.ended() == expected.ended, "a session ends when it is told to");
  }
  world.check_state();
  return 0;
}
