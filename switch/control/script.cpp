// SPDX-License-Identifier: MIT
#include "switch/control/script.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstring>
#include <utility>

#include "switch/base/fd.h"
#include "switch/base/file_status.h"

namespace lanyard {
namespace {

constexpr std::size_t kDepthMax = 8;
constexpr int kLinesMax = 10000;
constexpr std::size_t kBytesMax = std::size_t{1} << 20;

// The whole of a file. Only regular ones: opening a FIFO would wait for somebody to write.
Result<std::string> read_file(const std::string& path, struct stat& info) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd || !file_status(fd.get(), info)) {
    return Error{errno, fmt::format("{}: {}", printable(path), std::strerror(errno))};
  }
  if (!S_ISREG(info.st_mode)) {
    return Error{EINVAL, fmt::format("{} is not a regular file", printable(path))};
  }
  std::string text;
  std::array<char, 4096> chunk{};
  ssize_t count = 0;
  while ((count = ::read(fd.get(), chunk.data(), chunk.size())) > 0) {
    text.append(chunk.data(), static_cast<std::size_t>(count));
    if (text.size() > kBytesMax) {
      return Error{EFBIG, fmt::format("{} is longer than {} bytes", printable(path), kBytesMax)};
    }
  }
  return text;
}

}  // namespace

Result<std::unique_ptr<Script>> Script::open(const CommandContext& context,
                                             const std::string& path) {
  std::unique_ptr<Script> script(new Script(context));
  script->path_ = path;
  if (Result<void> entered = script->enter(path); !entered) return entered.error();
  return script;
}

Result<void> Script::enter(const std::string& path) {
  if (files_.size() >= kDepthMax) {
    return Error{ELOOP, fmt::format("scripts may load scripts {} deep", kDepthMax)};
  }
  struct stat info {};
  Result<std::string> text = read_file(path, info);
  if (!text) return text.error();
  const bool running = std::any_of(files_.begin(), files_.end(), [&](const File& file) {
    return file.device == info.st_dev && file.inode == info.st_ino;
  });
  if (running) return Error{ELOOP, fmt::format("{} loads itself", printable(path))};
  files_.push_back({path, text.take(), 0, info.st_dev, info.st_ino});
  return {};
}

bool Script::run(std::string& text, Duration slice, std::size_t enough) {
  const Time end = monotonic_now() + slice;
  const std::size_t full = text.size() + enough;
  while (producer_ != nullptr || !files_.empty()) {
    step(text);
    if (text.size() >= full || monotonic_now() >= end) break;
  }
  return producer_ != nullptr || !files_.empty();
}

HandoverPart Script::handover(std::string& text) {
  while (producer_ != nullptr) step(text);
  HandoverPart part;
  part.kind = "script";
  part.set("path", path_);
  part.set("lines", static_cast<std::uint64_t>(lines_));
  for (const File& file : files_) {
    HandoverPart& one = part.parts.emplace_back();
    one.kind = "file";
    one.set("path", file.path);
    one.set("text", file.text.substr(std::min(file.at, file.text.size())));
    one.set("device", static_cast<std::uint64_t>(file.device));
    one.set("inode", static_cast<std::uint64_t>(file.inode));
    one.set("status", file.status ? 0U : static_cast<std::uint64_t>(file.status.error().code));
  }
  return part;
}

std::unique_ptr<Script> Script::resume(const CommandContext& context, const HandoverPart& part) {
  constexpr std::uint64_t kAny = INT64_MAX;
  std::unique_ptr<Script> script(new Script(context));
  script->path_ = part.text("path");
  // Each of the files that are too long together has counted one line more.
  constexpr std::uint64_t kCounted = kLinesMax + kDepthMax;
  script->lines_ = static_cast<int>(part.number("lines", kCounted).value_or(kCounted));
  for (const HandoverPart& one : part.parts) {
    File& file = script->files_.emplace_back();
    file.path = one.text("path");
    file.text = one.text("text");
    file.device = one.number("device", kAny).value_or(0);
    file.inode = one.number("inode", kAny).value_or(0);
    if (const auto code = one.number("status", INT_MAX).value_or(0); code != 0) {
      file.status = Error{static_cast<int>(code), "said by the process before"};
    }
  }
  return script;
}

// A piece of a list, a line, or the end of a file.
void Script::step(std::string& text) {
  if (producer_ != nullptr) {
    if (producer_(text)) return;
    producer_ = nullptr;
    text += std::exchange(after_producer_, {});
    return;
  }
  File& file = files_.back();
  if (file.at >= file.text.size()) {
    text += status_line(file.status);
    files_.pop_back();
    return;
  }
  if (++lines_ > kLinesMax) {
    file.status = Error{ELOOP, fmt::format("more than {} lines of scripts in one load", kLinesMax)};
    file.at = file.text.size();
    return;
  }
  const std::size_t end = std::min(file.text.find('\n', file.at), file.text.size());
  std::string line = file.text.substr(file.at, end - file.at);
  if (line.ends_with('\r')) line.pop_back();
  file.at = end + 1;
  run_line(std::string(file.path), line, text);  // a copy: the line may enter another file
}

void Script::run_line(const std::string& path, std::string_view line, std::string& text) {
  append(text, "vde[{}]: {}\n", path, line);
  line = trim(line);
  if (line.empty() || line.front() == '#') return;
  const std::size_t depth = files_.size();
  Reply reply;
  const CommandTable::Outcome outcome = context_.table.run(context_, line, reply);
  if (reply.silent() || files_.size() > depth) return;
  if (outcome.has_data) text += kDataStart;
  text += reply.text();
  after_producer_ = outcome.has_data ? kDataEnd : "";
  after_producer_ += status_line(outcome.result);
  producer_ = reply.take_producer();
  if (producer_ == nullptr) text += std::exchange(after_producer_, {});
}

}  // namespace lanyard
