// SPDX-License-Identifier: MIT
//
// pdump: writes frames to files that Wireshark and tcpdump read (pcap, link type Ethernet). The
// words pdump/active, pdump/filename and pdump/buffered are those of vde_switch's pdump.
//
// What makes it hard: the thread that moves frames must never wait for a disk or for a reader. So
// it only copies records into a queue; a thread of our own writes them, finds out about full disks
// and slow pipes, and changes files when they are long enough. When the queue is full a frame is
// not captured, which is counted and told; it is forwarded all the same.
#include <fcntl.h>
#include <pcap/pcap.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdarg>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "plugins/lanyard_plugin.h"
#include "plugins/pdump_writer.h"

namespace {

using namespace pdump;  // it is for this file

constexpr std::size_t kRetiringMax = 8;  // each has a queue

// ---- the filter ----

struct BpfProgram {
  bpf_program program{};
  ~BpfProgram() { pcap_freecode(&program); }
};

class Pdump {
 public:
  explicit Pdump(const lanyard_host* host)
      : host_(host), again_(host->size > offsetof(lanyard_host, again) && host->again != 0) {}
  int start();

 private:
  using Handler = int (Pdump::*)(std::string_view, lanyard_reply*);
  template <Handler handler>
  int add(const char* path, const char* synopsis, const char* help, bool data = false,
          std::uint32_t effect = LANYARD_SETS);
  int active(std::string_view text, lanyard_reply* reply);
  int filename(std::string_view text, lanyard_reply* reply);
  int buffered(std::string_view text, lanyard_reply*);
  int filter(std::string_view text, lanyard_reply* reply);
  int rotate(std::string_view text, lanyard_reply*);
  int ports(std::string_view text, lanyard_reply*);
  int direction(std::string_view text, lanyard_reply*);
  int ring(std::string_view text, lanyard_reply*);
  int showinfo(std::string_view, lanyard_reply* reply);

  int begin(lanyard_reply* reply);
  int refuse(const std::string& why, lanyard_reply* reply);
  void retire();
  void reap();
  void frames(lanyard_batch* batch);
  void capture(const lanyard_frame& frame, const timespec& now);
  void print(lanyard_reply* reply, const char* format, ...) __attribute__((format(printf, 3, 4)));

  const lanyard_host* host_;
  const bool again_;
  std::set<std::string> begun_;  // files
  Settings settings_;
  std::unique_ptr<Writer> writer_;
  std::vector<std::unique_ptr<Writer>> retiring_;  // they write what is left
  std::uint64_t timer_ = 0;
  std::unique_ptr<BpfProgram> bpf_;
  std::string expression_;
  std::vector<bool> ports_;  // empty: all
  unsigned directions_ = LANYARD_INGRESS | LANYARD_EGRESS;
  std::uint64_t captured_ = 0;
  std::uint64_t dropped_ = 0;
};

void Pdump::frames(lanyard_batch* batch) {
  if (writer_ == nullptr || (directions_ & batch->direction) == 0) return;
  if (!ports_.empty() && (batch->port >= ports_.size() || !ports_[batch->port])) return;
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  for (std::uint32_t i = 0; i < batch->count; ++i) capture(*lanyard_frame_at(batch, i), now);
  writer_->queue().publish();
  writer_->notify();
}

// As it is on the wire: with the tag that it gets on its way out.
void Pdump::capture(const lanyard_frame& frame, const timespec& now) {
  const bool tagged = frame.tagged != 0 && frame.length >= kAddresses;
  const std::uint32_t length = frame.length + (tagged ? std::uint32_t{kTag} : 0);
  if (bpf_ != nullptr) {
    const std::uint8_t* bytes = frame.data;
    std::vector<std::uint8_t> with_tag;
    if (tagged) {
      with_tag.assign(bytes, bytes + kAddresses);
      const unsigned tci = frame.priority | frame.vlan;
      for (const unsigned byte : {0x81U, 0x00U, tci >> 8, tci & 0xff}) {
        with_tag.push_back(static_cast<std::uint8_t>(byte));
      }
      with_tag.insert(with_tag.end(), bytes + kAddresses, bytes + frame.length);
      bytes = with_tag.data();
    }
    pcap_pkthdr header{};
    header.caplen = length;
    header.len = length;
    if (pcap_offline_filter(&bpf_->program, &header, bytes) == 0) return;
  }
  std::uint8_t* place = writer_->queue().reserve(sizeof(RecordHeader) + length);
  if (place == nullptr) {
    ++dropped_;
    return;
  }
  RecordHeader record;
  record.seconds = static_cast<std::uint32_t>(now.tv_sec);
  record.microseconds = static_cast<std::uint32_t>(now.tv_nsec / 1000);
  record.captured = length;
  record.length = length;
  std::memcpy(place, &record, sizeof record);
  place += sizeof record;
  if (tagged) {
    const unsigned tci = frame.priority | frame.vlan;
    const std::array<std::uint8_t, kTag> tag{0x81, 0x00, static_cast<std::uint8_t>(tci >> 8),
                                             static_cast<std::uint8_t>(tci)};
    std::memcpy(place, frame.data, kAddresses);
    std::memcpy(place + kAddresses, tag.data(), tag.size());
    std::memcpy(place + kAddresses + kTag, frame.data + kAddresses, frame.length - kAddresses);
  } else {
    std::memcpy(place, frame.data, frame.length);
  }
  ++captured_;
}

// ---- commands ----

void Pdump::print(lanyard_reply* reply, const char* format, ...) {
  std::array<char, 1024> line{};
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(line.data(), line.size(), format, arguments);
  va_end(arguments);
  host_->reply(host_, reply, line.data());
}

std::optional<long> take_number(std::string_view& text) {
  const std::string copy(text);
  char* end = nullptr;
  errno = 0;
  const long number = std::strtol(copy.c_str(), &end, 10);
  if (end == copy.c_str() || errno != 0) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - copy.c_str()));
  while (text.starts_with(' ') || text.starts_with(',')) text.remove_prefix(1);
  return number;
}

// The words of the original.
int Pdump::refuse(const std::string& why, lanyard_reply* reply) {
  print(reply, "set_dumper() %s", why.c_str());
  print(reply, "ERROR: cannot dump to %s", settings_.file.c_str());
  return -EINVAL;
}

int Pdump::begin(lanyard_reply* reply) {
  // A timer that found no memory has told nobody of their ends.
  reap();
  for (const auto& writer : retiring_) {
    if (writer->file() == settings_.file) return -EBUSY;  // it is still being written
  }
  // What a process before us captured is not written over.
  settings_.keep_old = again_ && !begun_.contains(settings_.file);
  auto writer = std::make_unique<Writer>(settings_);
  if (const std::string why = writer->await_file(); !why.empty()) return refuse(why, reply);
  writer_ = std::move(writer);
  captured_ = 0;
  dropped_ = 0;
  begun_.insert(settings_.file);
  return 0;
}

// The disk may be slow, and nobody here may wait for it.
void Pdump::retire() {
  writer_->end();
  retiring_.push_back(std::move(writer_));
  if (timer_ != 0) return;
  constexpr std::uint64_t kPeriod = 10'000'000;
  timer_ = host_->add_timer(
      host_, kPeriod, kPeriod, [](void* self) { static_cast<Pdump*>(self)->reap(); }, this);
}

void Pdump::reap() {
  std::erase_if(retiring_, [](const auto& writer) { return writer->finished(); });
  if (retiring_.empty() && timer_ != 0) host_->remove_timer(host_, std::exchange(timer_, 0));
}

// A second time is EEXIST or ENOENT, and no number is 0, as with the original.
int Pdump::active(std::string_view text, lanyard_reply* reply) {
  if (take_number(text).value_or(0) == 0) {
    if (writer_ == nullptr) return -ENOENT;
    retire();
    return 0;
  }
  return writer_ != nullptr ? -EEXIST : begin(reply);
}

// Also in the middle of a capture: it goes on in that file, or ends.
int Pdump::filename(std::string_view text, lanyard_reply* reply) {
  if (!text.empty()) {
    const bool active = writer_ != nullptr;
    if (active && retiring_.size() >= kRetiringMax) return -EBUSY;
    if (active) retire();
    settings_.file = text;
    const std::string why = why_not(settings_.file);
    if (!why.empty()) return refuse(why, reply);
    if (const int error = active ? begin(reply) : 0; error != 0) return error;
  }
  print(reply, "dumpfile=%s", settings_.file.c_str());
  return 0;
}

int Pdump::buffered(std::string_view text, lanyard_reply*) {
  settings_.buffered = take_number(text).value_or(0) != 0;
  if (writer_ != nullptr) writer_->set_buffered(settings_.buffered);
  return 0;
}

int Pdump::filter(std::string_view text, lanyard_reply* reply) {
  if (text.empty()) {
    bpf_.reset();
    expression_.clear();
    return 0;
  }
  auto compiled = std::make_unique<BpfProgram>();
  pcap_t* const language = pcap_open_dead(DLT_EN10MB, kSnapLength);
  if (language == nullptr) return -ENOMEM;
  const std::string expression(text);
  const int error =
      pcap_compile(language, &compiled->program, expression.c_str(), 1, PCAP_NETMASK_UNKNOWN);
  if (error != 0) print(reply, "%s", pcap_geterr(language));
  pcap_close(language);
  if (error != 0) return -EINVAL;
  bpf_ = std::move(compiled);
  expression_ = expression;
  return 0;
}

// "MB [FILES]"
int Pdump::rotate(std::string_view text, lanyard_reply*) {
  const std::optional<long> megabytes = take_number(text);
  if (!megabytes || *megabytes < 0 || *megabytes > 1000000) return -EINVAL;
  const std::optional<long> files = take_number(text);
  if (files && (*files < 0 || *files > 100000)) return -EINVAL;
  if (writer_ != nullptr) return -EBUSY;
  settings_.rotate_bytes = static_cast<std::uint64_t>(*megabytes) << 20;
  settings_.rotate_files = static_cast<std::size_t>(files.value_or(0));
  return 0;
}

int Pdump::ports(std::string_view text, lanyard_reply*) {
  std::vector<bool> chosen;
  while (!text.empty()) {
    const std::optional<long> port = take_number(text);
    if (!port || *port < 0 || *port > 65534) return -EINVAL;
    if (chosen.size() <= static_cast<std::size_t>(*port)) {
      chosen.resize(static_cast<std::size_t>(*port) + 1);
    }
    chosen[static_cast<std::size_t>(*port)] = true;
  }
  ports_ = std::move(chosen);
  return 0;
}

int Pdump::direction(std::string_view text, lanyard_reply*) {
  if (text != "in" && text != "out" && text != "both") return -EINVAL;
  directions_ = text == "in"    ? unsigned{LANYARD_INGRESS}
                : text == "out" ? unsigned{LANYARD_EGRESS}
                                : unsigned{LANYARD_INGRESS | LANYARD_EGRESS};
  return 0;
}

int Pdump::ring(std::string_view text, lanyard_reply*) {
  const std::optional<long> megabytes = take_number(text);
  if (!megabytes || *megabytes < 1 || *megabytes > static_cast<long>(kRingMax >> 20)) {
    return -EINVAL;
  }
  if (writer_ != nullptr) return -EBUSY;
  settings_.ring_bytes = static_cast<std::size_t>(*megabytes) << 20;
  return 0;
}

int Pdump::showinfo(std::string_view, lanyard_reply* reply) {
  print(reply, "dumpfile=%s", settings_.file.c_str());
  print(reply, "active=%d buffered=%d direction=%s ring=%zu MB", writer_ != nullptr ? 1 : 0,
        settings_.buffered ? 1 : 0,
        directions_ == LANYARD_INGRESS  ? "in"
        : directions_ == LANYARD_EGRESS ? "out"
                                        : "both",
        settings_.ring_bytes >> 20);
  print(reply, "filter=%s", expression_.c_str());
  if (!retiring_.empty()) print(reply, "still writing");
  print(reply, "captured=%llu dropped=%llu", static_cast<unsigned long long>(captured_),
        static_cast<unsigned long long>(dropped_));
  if (writer_ == nullptr) return 0;
  print(reply, "written=%llu not written=%llu files=%llu",
        static_cast<unsigned long long>(writer_->written()),
        static_cast<unsigned long long>(writer_->unwritten()),
        static_cast<unsigned long long>(writer_->files()));
  if (const std::string error = writer_->error(); !error.empty()) {
    print(reply, "error=%s", error.c_str());
  }
  return 0;
}

template <Pdump::Handler handler>
int Pdump::add(const char* path, const char* synopsis, const char* help, bool data,
               std::uint32_t effect) {
  lanyard_command row{};
  row.size = sizeof row;
  row.effect = effect;
  row.has_data = data ? 1 : 0;
  row.path = path;
  row.synopsis = synopsis;
  row.help = help;
  row.run = [](void* self, const char* arguments, lanyard_reply* reply) {
    return (static_cast<Pdump*>(self)->*handler)(arguments, reply);
  };
  return host_->add_command(host_, &row);
}

int Pdump::start() {
  lanyard_filter filter{};
  filter.size = sizeof filter;
  filter.directions = LANYARD_INGRESS | LANYARD_EGRESS;
  filter.priority = 10;
  filter.frames = [](void* self, lanyard_batch* batch) {
    static_cast<Pdump*>(self)->frames(batch);
  };
  if (const int error = host_->add_filter(host_, &filter); error < 0) return error;
  add<&Pdump::active>("pdump/active", "0/1", "start or stop dumping", true);
  add<&Pdump::filename>("pdump/filename", "[FILE]", "show or set the file (or pipe)", true,
                        LANYARD_ADDS);
  add<&Pdump::buffered>("pdump/buffered", "0/1", "0=write every frame at once");
  add<&Pdump::filter>("pdump/filter", "[EXPRESSION]", "only what fits (pcap-filter(7))", true);
  add<&Pdump::rotate>("pdump/rotate", "MB [FILES]", "begin a new file after so many MB");
  add<&Pdump::ports>("pdump/ports", "[N ...]", "only frames of these ports");
  add<&Pdump::direction>("pdump/direction", "in|out|both", "into the switch, out of it, or both");
  add<&Pdump::ring>("pdump/ring", "MB", "how much may wait to be written");
  return add<&Pdump::showinfo>("pdump/showinfo", "", "show settings and counters", true,
                               LANYARD_SHOWS);
}

int start_plugin(const lanyard_host* host, void** self) {
  auto pdump = std::make_unique<Pdump>(host);
  if (const int error = pdump->start(); error < 0) return error;
  *self = pdump.release();
  return 0;
}

void stop_plugin(void* self) {
  delete static_cast<Pdump*>(self);
}

}  // namespace

LANYARD_PLUGIN("pdump", "dump packets to file", start_plugin, stop_plugin);
