// SPDX-License-Identifier: MIT
//
// The backends `replay` and `record`: a capture file as a guest that talks, and one as a guest that
// listens.
//
// What makes it hard: disks stall, and a file wants its own pace, so each runs in a thread beside
// the data thread (cable_ends.h). A file is foreign: libpcap reads it, and its frames are received
// like a guest's.
#include <fcntl.h>
#include <linux/sockios.h>
#include <pcap/pcap.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <optional>
#include <vector>

#include "backend/cable_ends.h"
#include "switch/base/text.h"

namespace lanyard {
namespace {

struct PcapClose {
  void operator()(pcap_t* handle) const { ::pcap_close(handle); }
};
using PcapHandle = std::unique_ptr<pcap_t, PcapClose>;
struct DumpClose {
  void operator()(pcap_dumper_t* file) const { ::pcap_dump_close(file); }
};
using DumpHandle = std::unique_ptr<pcap_dumper_t, DumpClose>;

timespec timespec_of(Duration duration) {
  const auto whole = std::chrono::duration_cast<std::chrono::seconds>(duration);
  return {whole.count(), static_cast<long>((duration - whole).count())};
}

// ---- replay ----

struct ReplaySettings {
  std::string file;
  double speed = 1;  // 0: as fast as the switch takes it
  std::int64_t times = 1;
};

class ReplayThread final : public CableThread {
 public:
  explicit ReplayThread(ReplaySettings settings) : settings_(std::move(settings)) {}

  std::string open() override {
    std::array<char, PCAP_ERRBUF_SIZE> text{};
    handle_.reset(::pcap_open_offline_with_tstamp_precision(
        settings_.file.c_str(), PCAP_TSTAMP_PRECISION_NANO, text.data()));
    if (handle_ == nullptr) return printable(text.data());
    if (::pcap_datalink(handle_.get()) != DLT_EN10MB) return "the file has no Ethernet frames";
    return {};
  }

  void run(const CableEnds& ends) override {
    for (std::int64_t time = 0; time < settings_.times; ++time) {
      if (time != 0 && !open().empty()) return;
      if (!play(ends)) return;
    }
    drain(ends);
  }

 private:
  // False when nobody listens any more.
  bool play(const CableEnds& ends) {
    const Time start = monotonic_now();
    std::optional<Time> first;
    pcap_pkthdr* header = nullptr;
    const u_char* bytes = nullptr;
    while (::pcap_next_ex(handle_.get(), &header, &bytes) == 1) {
      // With nanoseconds, tv_usec holds those.
      const Time at = std::chrono::seconds(header->ts.tv_sec) + Duration(header->ts.tv_usec);
      if (!first) first = at;
      if (settings_.speed > 0 && !wait_until(ends, start + scaled(at - *first))) return false;
      if (!send(ends, bytes, std::min<std::size_t>(header->caplen, kMaxFrameSize))) return false;
    }
    return true;
  }

  Duration scaled(Duration since_first) const {
    const double ns = static_cast<double>(since_first.count()) / settings_.speed;
    // A file may claim any time, and the next frame may be in the past.
    constexpr double kMost = 1e18;
    return Duration(static_cast<Duration::rep>(std::clamp(ns, 0.0, kMost)));
  }

  static bool wait_until(const CableEnds& ends, Time due) {
    for (;;) {
      const Duration left = due - monotonic_now();
      if (left.count() <= 0) return true;
      pollfd control{ends.control.get(), POLLIN, 0};
      const timespec timeout = timespec_of(left);
      if (::ppoll(&control, 1, &timeout, nullptr) > 0) return false;
    }
  }

  // Waits while the switch has not taken what is on the way.
  bool send(const CableEnds& ends, const u_char* bytes, std::size_t size) {
    // What the switch sends to a file that plays is heard by nobody.
    while (::recv(ends.data.get(), ignored_.data(), ignored_.size(), MSG_DONTWAIT) >= 0) {
    }
    return ::send(ends.data.get(), bytes, size, MSG_NOSIGNAL) >= 0 || errno == EMSGSIZE;
  }

  // The end of the thread is the end of the cable: not before the last frame has been taken.
  static void drain(const CableEnds& ends) {
    constexpr Duration kPause = std::chrono::milliseconds(1);
    int waiting = 0;
    while (::ioctl(ends.data.get(), SIOCOUTQ, &waiting) == 0 && waiting > 0) {
      if (!wait_until(ends, monotonic_now() + kPause)) return;
    }
  }

  ReplaySettings settings_;
  PcapHandle handle_;
  std::array<char, 1> ignored_{};
};

Result<ReplaySettings> read_replay(const BackendOptions& options) {
  ReplaySettings settings;
  settings.file = options.target();
  if (const std::string* const text = options.find("speed"); text != nullptr && *text != "max") {
    char* end = nullptr;
    settings.speed = std::strtod(text->c_str(), &end);
    if (text->empty() || *end != '\0' || !std::isfinite(settings.speed) || settings.speed <= 0) {
      return Error{EINVAL, fmt::format("replay: speed={} is neither max nor a factor above 0",
                                       printable(*text))};
    }
  } else if (text != nullptr) {
    settings.speed = 0;
  }
  constexpr std::int64_t kTimesMax = 1'000'000'000;
  Result<std::optional<std::int64_t>> times = read_number_option(options, "times", 1, kTimesMax);
  if (!times) return times.error();
  settings.times = times.value().value_or(1);
  return settings;
}

// ---- record ----

struct RecordSettings {
  std::string file;
  std::int64_t limit = 0;  // of the file, in bytes; 0: none
};

class RecordThread final : public CableThread {
 public:
  explicit RecordThread(RecordSettings settings) : settings_(std::move(settings)) {}

  // A link in a directory that others write to must not lead us elsewhere.
  std::string open() override {
    UniqueFd fd(::open(settings_.file.c_str(),
                       O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd) return std::strerror(errno);
    format_.reset(::pcap_open_dead_with_tstamp_precision(
        DLT_EN10MB, static_cast<int>(kMaxFrameSize), PCAP_TSTAMP_PRECISION_NANO));
    std::FILE* const stream = ::fdopen(fd.get(), "wb");
    if (stream == nullptr || format_ == nullptr) return std::strerror(errno);
    fd.release();
    file_.reset(::pcap_dump_fopen(format_.get(), stream));
    if (file_ != nullptr) return {};
    std::fclose(stream);
    return printable(::pcap_geterr(format_.get()));
  }

  void run(const CableEnds& ends) override {
    while (wait(ends)) {
      const ssize_t size = ::recv(ends.data.get(), frame_.data(), frame_.size(), MSG_DONTWAIT);
      if (size < 0 && errno != EAGAIN && errno != EINTR) return;
      if (size > 0 && !write(static_cast<std::size_t>(size))) return;
    }
    // What is on the way when the port is unplugged still belongs to the file.
    for (;;) {
      const ssize_t size = ::recv(ends.data.get(), frame_.data(), frame_.size(), MSG_DONTWAIT);
      if (size <= 0 || !write(static_cast<std::size_t>(size))) return;
    }
  }

 private:
  // The file is whole whenever nothing happens for a moment. False at the end.
  bool wait(const CableEnds& ends) {
    constexpr int kIdleMs = 100;
    std::array<pollfd, 2> fds{{{ends.data.get(), POLLIN, 0}, {ends.control.get(), POLLIN, 0}}};
    int count = ::poll(fds.data(), fds.size(), kIdleMs);
    if (count == 0) {
      ::pcap_dump_flush(file_.get());
      count = ::poll(fds.data(), fds.size(), -1);
    }
    return fds[1].revents == 0 && (count >= 0 || errno == EINTR);
  }

  bool write(std::size_t size) {
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    pcap_pkthdr header{};
    header.ts.tv_sec = now.tv_sec;
    header.ts.tv_usec = now.tv_nsec;
    header.caplen = header.len = static_cast<bpf_u_int32>(size);
    ::pcap_dump(reinterpret_cast<u_char*>(file_.get()), &header, frame_.data());
    const bool full = settings_.limit != 0 && ::pcap_dump_ftell(file_.get()) >= settings_.limit;
    return !full && std::ferror(::pcap_dump_file(file_.get())) == 0;
  }

  RecordSettings settings_;
  PcapHandle format_;
  DumpHandle file_;
  std::vector<u_char> frame_ = std::vector<u_char>(kMaxFrameSize);
};

// ---- both ----

template <typename MakeThread>
Result<void> keep_file(const BackendOptions& options, std::string_view module,
                       MakeThread make_thread, Patchbay& patchbay) {
  Result<std::optional<PortId>> port = read_port_option(options);
  if (!port) return port.error();
  if (options.target().empty()) {
    return Error{
        EINVAL, fmt::format("{}: it takes the name of a file: {}:///tmp/lab.pcap", module, module)};
  }
  KeptCableSettings settings;
  settings.name = options.target();
  settings.module = module;
  settings.port = port.value();
  settings.reconnects = false;
  const auto batches = std::make_shared<DatagramBatches>(patchbay.pool());
  settings.begin = [make_thread, batches, label = options.target(),
                    &loop = patchbay.loop()](KeptCableSettings::Done done) {
    auto begun = begin_thread_cable(make_thread(), loop, [=](Result<CableEnds> ends) {
      if (!ends) return done(ends.error());
      done(make_cable(ends.take(), label, kMaxFrameSize, batches));
    });
    if (begun) return begun.take();
    done(begun.error());
    return std::unique_ptr<CableAttempt>();
  };
  return keep_cable(std::move(settings), patchbay);
}

Result<void> open_replay(const BackendOptions& options, Patchbay& patchbay) {
  if (Result<void> known = options.check_keys({"port", "speed", "times"}); !known) return known;
  Result<ReplaySettings> settings = read_replay(options);
  if (!settings) return settings.error();
  return keep_file(
      options, "replay",
      [settings = settings.take()] { return std::make_unique<ReplayThread>(settings); }, patchbay);
}

Result<void> open_record(const BackendOptions& options, Patchbay& patchbay) {
  if (Result<void> known = options.check_keys({"port", "limit"}); !known) return known;
  Result<std::optional<std::int64_t>> limit =
      read_number_option(options, "limit", 1, std::int64_t{1} << 50);
  if (!limit) return limit.error();
  const RecordSettings settings{options.target(), limit.value().value_or(0)};
  return keep_file(
      options, "record", [settings] { return std::make_unique<RecordThread>(settings); }, patchbay);
}

}  // namespace

extern const Backend replay_backend;
const Backend replay_backend{
    "replay",
    "replay://FILE?port=N&speed=FACTOR|max&times=N",
    "play the frames of a capture file (pcap, pcapng) into the switch",
    &open_replay,
};

extern const Backend record_backend;
const Backend record_backend{
    "record",
    "record://FILE?port=N&limit=BYTES",
    "write down in a capture file what goes out of a port",
    &open_record,
};

}  // namespace lanyard
