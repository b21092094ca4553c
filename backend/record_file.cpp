// SPDX-License-Identifier: MIT
#include "backend/record_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "switch/base/text.h"
#include "switch/frame/frame.h"

namespace lanyard {
namespace {

constexpr std::size_t kEnough = std::size_t{64} << 10;  // in one write

struct FileHeader {
  std::uint32_t magic = 0xa1b23c4d;  // nanoseconds, our byte order
  std::uint16_t major = 2;
  std::uint16_t minor = 4;
  std::uint32_t zone = 0;
  std::uint32_t accuracy = 0;
  std::uint32_t snap_length = kMaxFrameSize;
  std::uint32_t link_type = 1;  // Ethernet
};

struct FrameHeader {
  std::uint32_t seconds = 0;
  std::uint32_t nanoseconds = 0;
  std::uint32_t captured = 0;
  std::uint32_t length = 0;
};
static_assert(sizeof(FileHeader) == 24 && sizeof(FrameHeader) == 16);

void put(std::vector<std::uint8_t>& buffer, const void* bytes, std::size_t size) {
  const auto* const first = static_cast<const std::uint8_t*>(bytes);
  buffer.insert(buffer.end(), first, first + size);
}

}  // namespace

Result<RecordFile> RecordFile::create(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) return Error{errno, std::strerror(errno)};
  RecordFile file(std::move(fd));
  file.buffer_.reserve(kEnough + sizeof(FrameHeader) + kMaxFrameSize);
  const FileHeader header;
  const ssize_t count = ::write(file.fd_.get(), &header, sizeof header);
  if (count != sizeof header) {
    const int code = count < 0 ? errno : ENOSPC;
    file.cut();
    return Error{code, std::strerror(code)};
  }
  file.written_ = sizeof header;
  return file;
}

Result<void> RecordFile::add(std::span<const std::uint8_t> frame, const timespec& now) {
  FrameHeader header;
  header.seconds = static_cast<std::uint32_t>(now.tv_sec);
  header.nanoseconds = static_cast<std::uint32_t>(now.tv_nsec);
  header.captured = header.length = static_cast<std::uint32_t>(frame.size());
  put(buffer_, &header, sizeof header);
  put(buffer_, frame.data(), frame.size());
  ++buffered_frames_;
  return buffer_.size() < kEnough ? Result<void>() : flush();
}

Result<void> RecordFile::flush() {
  std::size_t stored = 0;
  while (stored != buffer_.size()) {
    const ssize_t count = ::write(fd_.get(), &buffer_[stored], buffer_.size() - stored);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      const int code = count < 0 ? errno : ENOSPC;
      take_back(stored);
      return Error{code, std::strerror(code)};
    }
    stored += static_cast<std::size_t>(count);
  }
  written_ += stored;
  frames_ += buffered_frames_;
  buffered_frames_ = 0;
  buffer_.clear();
  return {};
}

// Of so many bytes of the buffer that are in the file, those of a frame in part.
void RecordFile::take_back(std::size_t stored) {
  std::size_t whole = 0;
  while (stored - whole >= sizeof(FrameHeader)) {
    FrameHeader header;
    std::memcpy(&header, &buffer_[whole], sizeof header);
    const std::size_t size = sizeof header + header.captured;
    if (size > stored - whole) break;
    whole += size;
    ++frames_;
    --buffered_frames_;
  }
  lost_ += buffered_frames_;
  buffered_frames_ = 0;
  written_ += whole;
  buffer_.clear();
  cut();
}

// A pipe keeps what it has, and nothing can be done about it.
void RecordFile::cut() {
  static_cast<void>(!::ftruncate(fd_.get(), static_cast<off_t>(written_)));
}

}  // namespace lanyard
