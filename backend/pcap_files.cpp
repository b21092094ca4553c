// SPDX-License-Identifier: MIT
//
// The backends `replay` and `record`: a capture file as a guest that talks, and one as a guest that
// listens.
//
// What makes it hard: disks stall, and a file wants its own pace, so each runs in a thread beside
// the data thread (cable_ends.h). A file is foreign: libpcap reads it, and its frames are received
// like a guest's.
#include <linux/sockios.h>
#include <pcap/pcap.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <ctime>
#include <optional>
#include <span>
#include <vector>

#include "backend/cable_ends.h"
#include "backend/record_file.h"
#include "switch/base/text.h"

namespace lanyard {
namespace {

struct PcapClose {
  void operator()(pcap_t* handle) const { ::pcap_close(handle); }
};
using PcapHandle = std::unique_ptr<pcap_t, PcapClose>;

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
    if (handle_ == nullptr) return without_name(text.data());
    if (::pcap_datalink(handle_.get()) != DLT_EN10MB) return "the file has no Ethernet frames";
    return {};
  }

  void run(const CableEnds& ends) override {
    std::string failure;
    for (std::int64_t time = 0; time < settings_.times && failure.empty(); ++time) {
      if (time != 0) failure = open();
      if (!failure.empty()) break;
      if (!play(ends)) return;
      // A file that was cut off is played as far as it goes.
      failure = without_name(::pcap_geterr(handle_.get()));
    }
    drain(ends);
    if (failure.empty()) return;
    ::send(ends.control.get(), failure.data(), failure.size(), MSG_NOSIGNAL);
  }

 private:
  // libpcap's sentences may begin with the name, which is said anyway.
  std::string without_name(std::string_view sentence) const {
    const std::string name = settings_.file + ": ";
    if (sentence.starts_with(name)) sentence.remove_prefix(name.size());
    return printable(sentence);
  }

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
  std::uint64_t limit = 0;  // of the file, in bytes; 0: none
};

class RecordThread final : public CableThread {
 public:
  explicit RecordThread(RecordSettings settings) : settings_(std::move(settings)) {}

  std::string open() override {
    Result<RecordFile> file = RecordFile::create(settings_.file);
    if (!file) return file.error().text;
    file_.emplace(file.take());
    return {};
  }

  void run(const CableEnds& ends) override {
    Result<void> written = record(ends);
    if (written) written = file_->flush();
    if (!written) tell(ends, written.error());
  }

 private:
  // Until the port is unplugged or the file is long enough.
  Result<void> record(const CableEnds& ends) {
    bool plugged = true;
    while (settings_.limit == 0 || file_->size() < settings_.limit) {
      const ssize_t size = receive(ends);
      if (size > 0) {
        timespec now{};
        ::clock_gettime(CLOCK_REALTIME, &now);
        const std::span<const std::uint8_t> frame(frame_.data(), static_cast<std::size_t>(size));
        if (Result<void> added = file_->add(frame, now); !added) return added;
        continue;
      }
      if (size < 0 && errno != EAGAIN && errno != EINTR) break;
      // What is on the way when the port is unplugged still belongs to the file.
      if (!plugged) break;
      Result<bool> waited = wait(ends);
      if (!waited) return waited.error();
      plugged = waited.value();
    }
    return {};
  }

  ssize_t receive(const CableEnds& ends) {
    return ::recv(ends.data.get(), frame_.data(), frame_.size(), MSG_DONTWAIT);
  }

  // The file is whole whenever nothing happens for a moment. False at the end.
  Result<bool> wait(const CableEnds& ends) {
    constexpr int kIdleMs = 100;
    std::array<pollfd, 2> fds{{{ends.data.get(), POLLIN, 0}, {ends.control.get(), POLLIN, 0}}};
    int count = ::poll(fds.data(), fds.size(), kIdleMs);
    if (count == 0) {
      if (Result<void> flushed = file_->flush(); !flushed) return flushed.error();
      count = ::poll(fds.data(), fds.size(), -1);
    }
    return fds[1].revents == 0 && (count >= 0 || errno == EINTR);
  }

  void tell(const CableEnds& ends, const Error& why) {
    std::uint64_t lost = file_->lost();
    while (receive(ends) > 0) ++lost;
    const std::string word =
        fmt::format("{}; the file ends after {} frames, {} that came after them are lost", why.text,
                    file_->frames(), lost);
    ::send(ends.control.get(), word.data(), word.size(), MSG_NOSIGNAL);
  }

  RecordSettings settings_;
  std::optional<RecordFile> file_;
  std::vector<std::uint8_t> frame_ = std::vector<std::uint8_t>(kMaxFrameSize);
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
  settings.says_why = true;
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
  const RecordSettings settings{options.target(),
                                static_cast<std::uint64_t>(limit.value().value_or(0))};
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
