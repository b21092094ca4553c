// SPDX-License-Identifier: MIT
//
// How captured frames get into files: the thread of the frames fills a queue, and a thread of our
// own empties it. It has time: the first comes before it where both want a processor.
#pragma once

#include <fcntl.h>
#include <pcap/pcap.h>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <new>
#include <span>
#include <string>
#include <system_error>
#include <thread>

#include "plugins/pdump_queue.h"

namespace pdump {

constexpr std::size_t kRingDefault = std::size_t{32} << 20;
constexpr std::size_t kRingMax = std::size_t{1} << 30;
constexpr std::size_t kSnapLength = 262144;
constexpr std::size_t kAddresses = 12;
constexpr std::size_t kTag = 4;
constexpr std::size_t kWriteEnough = std::size_t{256} << 10;
constexpr auto kLinger = std::chrono::milliseconds(200);  // how long records may wait for others
constexpr auto kOpenWait = std::chrono::milliseconds(100);

struct FileHeader {
  std::uint32_t magic = 0xa1b2c3d4;  // microseconds, our byte order
  std::uint16_t major = 2;
  std::uint16_t minor = 4;
  std::uint32_t zone = 0;
  std::uint32_t accuracy = 0;
  std::uint32_t snap_length = kSnapLength;
  std::uint32_t link_type = DLT_EN10MB;
};

struct RecordHeader {
  std::uint32_t seconds = 0;
  std::uint32_t microseconds = 0;
  std::uint32_t captured = 0;
  std::uint32_t length = 0;
};
static_assert(sizeof(FileHeader) == 24 && sizeof(RecordHeader) == 16);

struct Settings {
  std::string file = "vde_dump.cap";
  bool buffered = true;
  std::uint64_t rotate_bytes = 0;  // 0: one file
  std::size_t rotate_files = 0;    // 0: keep all
  std::size_t ring_bytes = kRingDefault;
  bool keep_old = false;  // begin behind the files that are there
};

// Why nothing can be written there, as far as that can be told without opening it; or empty.
inline std::string why_not(const std::string& file) {
  struct stat info {};
  int error = 0;
  if (::lstat(file.c_str(), &info) == 0) {
    if (S_ISDIR(info.st_mode)) error = EISDIR;
    if (S_ISLNK(info.st_mode)) error = ELOOP;
    if (error == 0 && ::access(file.c_str(), W_OK) != 0) error = errno;
  } else if (errno != ENOENT) {
    error = errno;
  } else {
    std::filesystem::path place = std::filesystem::path(file).parent_path();
    if (place.empty()) place = ".";
    if (::access(place.c_str(), W_OK | X_OK) != 0) error = errno;
  }
  return error == 0 ? "" : "open(" + file + "): " + std::strerror(error);
}

// Writes what is in the ring until it is told to end. To be destroyed when finished(), or its end
// has to be waited for.
class Writer {
 public:
  explicit Writer(const Settings& settings)
      : settings_(settings),
        buffered_(settings.buffered),
        queue_(settings.ring_bytes),
        thread_([this] { run(); }) {}
  ~Writer() {
    end();
    thread_.join();
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // Why the first file cannot be written; or empty. What a disk does not tell within a tenth of a
  // second is not waited for: error() has it later.
  std::string await_file() {
    std::unique_lock lock(mutex_);
    begun_changed_.wait_for(lock, kOpenWait, [this] { return begun_; });
    return error_;
  }
  const std::string& file() const { return settings_.file; }
  void set_buffered(bool buffered) { buffered_ = buffered; }

  // No more records come; it writes those there are.
  void end() {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    wake_.notify_one();
  }
  bool finished() const { return finished_.load(std::memory_order_acquire); }
  RecordQueue& queue() { return queue_; }
  // New records are there. Without a system call while the writer is busy or may linger.
  void notify() {
    if (!asleep_.load(std::memory_order_acquire)) return;
    if (buffered_ && queue_.waiting() < kWriteEnough) return;
    wake_.notify_one();
  }
  std::uint64_t written() const { return written_.load(std::memory_order_relaxed); }
  std::uint64_t unwritten() const { return unwritten_.load(std::memory_order_relaxed); }
  std::uint64_t files() const { return files_.load(std::memory_order_relaxed); }
  std::string error() const {
    const std::lock_guard lock(mutex_);
    return error_;
  }

 private:
  void run();
  void step_back();
  void write_ready();
  bool write_records(std::span<const std::uint8_t> bytes);
  void write_run(std::span<const std::uint8_t> run, std::uint64_t records);
  bool write_all(std::span<const std::uint8_t> bytes);
  std::uint64_t keep_whole(std::span<const std::uint8_t> run, std::uint64_t start);
  bool wait_writable();
  bool open_file();
  void fail(const std::string& what);
  template <typename Work>
  void attempt(Work&& work);
  std::string name_of(std::uint64_t number) const;
  std::uint64_t first_free() const;

  const Settings settings_;
  bool buffered_;  // of who puts records
  RecordQueue queue_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable begun_changed_;
  bool begun_ = false;  // the first file is open, or waits for its reader, or cannot be had
  bool ending_ = false;
  std::string error_;
  std::atomic<bool> asleep_{false};
  std::atomic<bool> finished_{false};
  std::atomic<std::uint64_t> written_{0};
  std::atomic<std::uint64_t> unwritten_{0};
  std::atomic<std::uint64_t> files_{0};
  int fd_ = -1;
  std::uint64_t in_file_ = 0;
  std::thread thread_;  // last: it uses all of the above
};

// FILE, then FILE.1, FILE.2 and so on.
inline std::string Writer::name_of(std::uint64_t number) const {
  return number == 0 ? settings_.file : settings_.file + "." + std::to_string(number);
}

// The number behind the highest that is there; a pipe is used again.
inline std::uint64_t Writer::first_free() const {
  struct stat info {};
  const bool there = ::lstat(settings_.file.c_str(), &info) == 0;
  if (there && !S_ISREG(info.st_mode)) return 0;
  std::uint64_t free = there ? 1 : 0;
  const std::filesystem::path file(settings_.file);
  const std::string start = file.filename().string() + ".";
  std::error_code error;
  const std::filesystem::path place = file.has_parent_path() ? file.parent_path() : ".";
  for (std::filesystem::directory_iterator at(place, error), end; !error && at != end;
       at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (!name.starts_with(start)) continue;
    std::uint64_t number = 0;
    const char* const last = name.data() + name.size();
    const auto [stop, bad] = std::from_chars(name.data() + start.size(), last, number);
    if (bad == std::errc() && stop == last && number < UINT32_MAX) {
      free = std::max(free, number + 1);
    }
  }
  return free;
}

inline void Writer::fail(const std::string& what) {
  const int error = errno;
  const std::lock_guard lock(mutex_);
  error_ = what + ": " + std::strerror(error);
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

// An exception that leaves this thread would be the end of the switch.
template <typename Work>
void Writer::attempt(Work&& work) {
  try {
    work();
  } catch (const std::bad_alloc&) {
    const std::lock_guard lock(mutex_);
    error_ = "no memory";  // is short enough to need none
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
}

// Never through a symbolic link, and nobody else can read what guests say. A pipe is opened when
// somebody reads it, and not waited for.
inline bool Writer::open_file() {
  const std::uint64_t number = files_.load(std::memory_order_relaxed);
  const std::string name = name_of(number);
  fd_ = ::open(name.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
  if (fd_ < 0) {
    if (errno != ENXIO) fail("open(" + name + ")");
    return false;
  }
  struct stat info {};
  ::fstat(fd_, &info);
  if (S_ISREG(info.st_mode) && ::ftruncate(fd_, 0) != 0) {
    fail("open(" + name + ")");
    return false;
  }
  if (settings_.rotate_files != 0 && number >= settings_.rotate_files) {
    ::unlink(name_of(number - settings_.rotate_files).c_str());
  }
  const FileHeader header;
  in_file_ = 0;
  if (!write_all({reinterpret_cast<const std::uint8_t*>(&header), sizeof header})) {
    fail("write");
    return false;
  }
  files_.store(number + 1, std::memory_order_relaxed);
  return true;
}

inline bool Writer::wait_writable() {
  for (;;) {
    pollfd ready{fd_, POLLOUT, 0};
    if (::poll(&ready, 1, 100) > 0) return true;
    const std::lock_guard lock(mutex_);
    if (!ending_) continue;
    errno = EAGAIN;
    return false;
  }
}

inline bool Writer::write_all(std::span<const std::uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t done = ::write(fd_, bytes.data(), bytes.size());
    if (done < 0) {
      if (errno == EINTR) continue;
      // A pipe whose reader is slow: it has time until we are to end.
      if (errno == EAGAIN && wait_writable()) continue;
      return false;
    }
    in_file_ += static_cast<std::size_t>(done);
    bytes = bytes.subspan(static_cast<std::size_t>(done));
  }
  return true;
}

inline RecordHeader header_at(std::span<const std::uint8_t> records) {
  RecordHeader header;
  std::memcpy(&header, records.data(), sizeof header);
  return header;
}

// Whole records that go to the same file.
inline void Writer::write_run(std::span<const std::uint8_t> run, std::uint64_t records) {
  if (run.empty()) return;
  const std::uint64_t start = in_file_;
  std::uint64_t whole = fd_ >= 0 ? records : 0;
  if (fd_ >= 0 && !write_all(run)) {
    const int error = errno;
    whole = keep_whole(run, start);
    errno = error;
    fail("write");
  }
  written_.fetch_add(whole, std::memory_order_relaxed);
  unwritten_.fetch_add(records - whole, std::memory_order_relaxed);
  queue_.take(run.size());
}

// Of a run that began there and went in by part: takes back the record that is not whole, which
// readers would stumble over (a pipe keeps it), and says how many are.
inline std::uint64_t Writer::keep_whole(std::span<const std::uint8_t> run, std::uint64_t start) {
  std::uint64_t records = 0;
  std::uint64_t end = start;
  while (in_file_ - end >= sizeof(RecordHeader)) {
    const std::uint64_t whole = sizeof(RecordHeader) + header_at(run.subspan(end - start)).captured;
    if (whole > in_file_ - end) break;
    end += whole;
    ++records;
  }
  if (::ftruncate(fd_, static_cast<off_t>(end)) == 0) in_file_ = end;
  return records;
}

// False when the next file is a pipe that nobody reads yet.
inline bool Writer::write_records(std::span<const std::uint8_t> bytes) {
  std::size_t size = 0;
  std::uint64_t records = 0;
  while (size < bytes.size()) {
    const std::size_t whole = sizeof(RecordHeader) + header_at(bytes.subspan(size)).captured;
    if (settings_.rotate_bytes != 0 && in_file_ + size + whole > settings_.rotate_bytes &&
        in_file_ + size > sizeof(FileHeader) && fd_ >= 0) {
      write_run(bytes.first(size), records);
      bytes = bytes.subspan(size);
      size = 0;
      records = 0;
      if (fd_ >= 0) ::close(fd_);
      fd_ = -1;
      if (!open_file() && error().empty()) return false;
    }
    size += whole;
    ++records;
  }
  write_run(bytes, records);
  return true;
}

// What is there now; what comes meanwhile may linger, or there would be a call for every few.
inline void Writer::write_ready() {
  std::size_t left = queue_.ready();
  // A pipe without a reader: what does not fit is not captured, as the queue says.
  if (fd_ < 0 && !open_file() && error().empty()) return;
  while (left != 0) {
    std::span<const std::uint8_t> bytes = queue_.front();
    bytes = bytes.first(std::min(bytes.size(), left));
    if (!write_records(bytes)) return;
    left -= bytes.size();
  }
}

// Not in the midst of what the thread of the frames does (SCHED_BATCH), and of a processor that
// both want a quarter (sched(7)), which is far more than it needs. Where it may not, all works as
// well.
inline void Writer::step_back() {
  constexpr int kLater = 5;
  const sched_param none{};
  ::sched_setscheduler(0, SCHED_BATCH, &none);
  errno = 0;
  const int now = ::getpriority(PRIO_PROCESS, 0);
  if (errno == 0) ::setpriority(PRIO_PROCESS, 0, now + kLater);
}

inline void Writer::run() {
  step_back();
  queue_.warm();
  // The file is there, with its header, before the first frame is.
  attempt([this] {
    if (settings_.keep_old) files_.store(first_free(), std::memory_order_relaxed);
    open_file();
  });
  std::unique_lock lock(mutex_);
  begun_ = true;
  begun_changed_.notify_one();
  for (;;) {
    const bool last = ending_;
    lock.unlock();
    if (queue_.ready() != 0) attempt([this] { write_ready(); });
    lock.lock();
    if (last) break;
    if (ending_) continue;
    asleep_.store(true, std::memory_order_release);
    wake_.wait_for(lock, kLinger);
    asleep_.store(false, std::memory_order_release);
  }
  if (fd_ >= 0) ::close(fd_);
  finished_.store(true, std::memory_order_release);
}

}  // namespace pdump
