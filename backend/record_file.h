// SPDX-License-Identifier: MIT
//
// A capture file that is written (pcap, Ethernet, nanoseconds), whole at any time: it ends with the
// last whole frame whatever the disk says.
//
// What makes it hard: a disk that is full, a quota or a limit of the process (ENOSPC, EDQUOT,
// EFBIG) take a part of what is written, and a reader stumbles over half a frame. So what went in
// by half is taken back, and what is not in the file is counted. The thread of the cable only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <span>
#include <string>
#include <vector>

#include "switch/base/fd.h"
#include "switch/base/result.h"

namespace lanyard {

class RecordFile {
 public:
  // A new file, or one that is emptied; never through a link.
  static Result<RecordFile> create(const std::string& path);

  // Written with others, or by flush(). An error is the end of it: nothing more can be added.
  Result<void> add(std::span<const std::uint8_t> frame, const timespec& now);
  Result<void> flush();

  // Bytes, with what has not been written yet.
  std::uint64_t size() const { return written_ + buffer_.size(); }
  std::uint64_t frames() const { return frames_; }  // that are in the file
  std::uint64_t lost() const { return lost_; }

 private:
  explicit RecordFile(UniqueFd fd) : fd_(std::move(fd)) {}
  void take_back(std::size_t stored);
  void cut();

  UniqueFd fd_;
  std::vector<std::uint8_t> buffer_;
  std::uint64_t written_ = 0;
  std::uint64_t buffered_frames_ = 0;
  std::uint64_t frames_ = 0;
  std::uint64_t lost_ = 0;
};

}  // namespace lanyard
