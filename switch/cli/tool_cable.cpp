// SPDX-License-Identifier: MIT
//
// `lanyard cable`: joins two ends, or many pairs of them, and keeps them joined. It stands in for
// dpipe with two vde_plugs, and for vde_autolink.
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>

#include "switch/base/text.h"
#include "switch/cli/tool.h"
#include "switch/cli/tool_wire.h"

namespace lanyard {
namespace {

constexpr std::array kOptions{
    ToolOption{'f', "file", true},
    ToolOption{'q', "quiet", false},
};

struct Pair {
  std::string left;
  std::string right;
};

// Two words a line; what follows a '#' at the beginning of a word is a remark.
Result<std::vector<Pair>> read_pairs(const std::string& path) {
  std::ifstream file;
  if (path != "-") file.open(path);
  std::istream& lines = path == "-" ? std::cin : file;
  if (!lines) return Error{ENOENT, fmt::format("{}: {}", printable(path), std::strerror(errno))};
  std::vector<Pair> pairs;
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    std::vector<std::string_view> words = split_words(line);
    const auto remark = std::find_if(words.begin(), words.end(),
                                     [](std::string_view word) { return word.front() == '#'; });
    words.erase(remark, words.end());
    if (words.empty()) continue;
    if (words.size() != 2) {
      return Error{EINVAL, fmt::format("{}:{}: a cable has two ends, not {}", printable(path),
                                       number, words.size())};
    }
    pairs.push_back({std::string(words[0]), std::string(words[1])});
  }
  return pairs;
}

class CableTool {
 public:
  CableTool(std::unique_ptr<EventLoop> loop, bool quiet)
      : log_("cable", quiet), loop_(std::move(loop)) {}

  Result<void> run(const std::vector<Pair>& pairs) {
    if (Result<void> done = stop_at_signals(*loop_, signals_, signal_watch_); !done) return done;
    for (const Pair& pair : pairs) {
      if (Result<void> done = join(pair); !done) return done;
    }
    while (!loop_->stopped() && !wires_.empty()) {
      lanes_.turn(*loop_);
      // An end that ends for good (a file that was played) takes its cable along.
      std::erase_if(wires_, [this](const std::unique_ptr<ToolWire>& wire) {
        const bool ended = wire->has_ended(ToolWire::kLeft) || wire->has_ended(ToolWire::kRight);
        if (!ended) return false;
        for (const PortId end : {ToolWire::kLeft, ToolWire::kRight}) {
          failed_ = failed_ || (wire->has_ended(end) && !wire->has_carried(end));
        }
        lanes_.remove(wire->lane());
        return true;
      });
    }
    return {};
  }
  // The log has said why.
  bool an_end_was_never_there() const { return failed_; }

 private:
  Result<void> join(const Pair& pair) {
    wires_.push_back(std::make_unique<ToolWire>(*loop_, log_));
    lanes_.add(wires_.back()->lane());
    Result<BackendOptions> left = BackendOptions::parse(end_address(pair.left));
    if (!left) return left.error();
    Result<BackendOptions> right = BackendOptions::parse(end_address(pair.right));
    if (!right) return right.error();
    // A file talks at once and does not say it twice: whoever listens is plugged in before.
    ToolWire& wire = *wires_.back();
    const bool right_talks = right.value().kind() == "replay";
    const PortId first = right_talks ? ToolWire::kLeft : ToolWire::kRight;
    const PortId second = right_talks ? ToolWire::kRight : ToolWire::kLeft;
    const BackendOptions& talker = right_talks ? right.value() : left.value();
    if (Result<void> done = wire.open(right_talks ? left.value() : right.value(), first); !done) {
      return done;
    }
    if (talker.kind() == "replay") {
      while (!loop_->stopped() && !wire.carries(first) && !wire.has_ended(first)) {
        lanes_.turn(*loop_);
      }
    }
    return wire.open(talker, second);
  }

  ToolLog log_;
  std::unique_ptr<EventLoop> loop_;
  UniqueFd signals_;
  EventLoop::Watch signal_watch_;
  LaneGroup lanes_;
  std::vector<std::unique_ptr<ToolWire>> wires_;
  bool failed_ = false;
};

}  // namespace

ExitCode run_cable(const ToolWords& words) {
  const ToolArguments arguments = read_tool_arguments(kOptions, words);
  if (!arguments.complaint.empty()) return tool_usage("cable", arguments.complaint);
  const std::string* const file = arguments.find("file");
  if (arguments.words.size() != (file != nullptr ? 0U : 2U)) {
    return tool_usage("cable", "it takes two ends, or a file of them with -f");
  }
  Result<std::vector<Pair>> pairs =
      file != nullptr ? read_pairs(*file)
                      : std::vector<Pair>{{arguments.words[0], arguments.words[1]}};
  Result<void> done;
  if (!pairs) {
    done = pairs.error();
  } else if (pairs.value().empty()) {
    return tool_usage("cable", "there is no cable in the file");
  } else {
    Result<std::unique_ptr<EventLoop>> loop = EventLoop::create();
    if (!loop) {
      done = loop.error();
    } else {
      CableTool tool(loop.take(), arguments.find("quiet") != nullptr);
      done = tool.run(pairs.value());
      if (done && tool.an_end_was_never_there()) return ExitCode::failed;
    }
  }
  if (done) return ExitCode::ok;
  std::fputs(fmt::format("lanyard cable: {}\n", done.error().text).c_str(), stderr);
  if (done.error().code == ENOENT) return ExitCode::not_found;
  return done.error().code == EINVAL ? ExitCode::usage : ExitCode::failed;
}

}  // namespace lanyard
