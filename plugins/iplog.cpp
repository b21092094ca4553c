// SPDX-License-Identifier: MIT
//
// iplog: a line for every IP address that appears behind a port or moves to another, with who has
// the port. The words and lines are those of vde_switch's iplog, which cannot read IPv4 options and
// reads a tagged frame's address in the wrong place.
//
// What makes it hard: guests choose the addresses. So the bytes are read by one small parser that
// knows how many there are, the table is bounded, and what does not fit into the ranges that the
// user named (iplog/ipadd) is not kept at all. A disk may be slow and the thread that moves frames
// may not wait for it: lines are written by a thread of our own.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "plugins/lanyard_plugin.h"

namespace {

constexpr std::size_t kAddressesMax = 65536;
constexpr std::size_t kRangesMax = 1024;
constexpr std::size_t kLinesMax = 65536;
constexpr int kTagsMax = 3;

// ---- reading ----

struct IpAddress {
  std::array<std::uint8_t, 16> bytes{};  // IPv4 in the first four
  bool six = false;
  auto operator<=>(const IpAddress&) const = default;
};

struct Seen {
  IpAddress address;
  std::array<std::uint8_t, 6> mac{};
  std::uint16_t vlan = 0;
};

// The bytes of a frame, read only where there are some.
class Reader {
 public:
  Reader(const std::uint8_t* bytes, std::size_t size) : bytes_(bytes), size_(size) {}
  bool has(std::size_t at, std::size_t count) const { return at <= size_ && count <= size_ - at; }
  std::uint16_t u16(std::size_t at) const {
    return static_cast<std::uint16_t>(bytes_[at] << 8 | bytes_[at + 1]);
  }
  std::uint8_t u8(std::size_t at) const { return bytes_[at]; }
  template <std::size_t count>
  void copy(std::size_t at, std::uint8_t* to) const {
    std::memcpy(to, bytes_ + at, count);
  }

 private:
  const std::uint8_t* bytes_;
  std::size_t size_;
};

// Who sent the frame: the source of its IPv4 or IPv6 packet, or the sender of its ARP. `vlan` is
// that of the outermost tag in the bytes. Nothing when the frame does not hold a whole header.
std::optional<Seen> read_source(const std::uint8_t* bytes, std::size_t size) {
  const Reader frame(bytes, size);
  if (!frame.has(0, 14)) return std::nullopt;
  Seen seen;
  frame.copy<6>(6, seen.mac.data());
  std::size_t at = 12;
  std::uint16_t type = frame.u16(at);
  for (int tags = 0; (type == 0x8100 || type == 0x88a8) && tags < kTagsMax; ++tags) {
    if (!frame.has(at, 6)) return std::nullopt;
    if (tags == 0) seen.vlan = frame.u16(at + 2) & 0xfff;
    at += 4;
    type = frame.u16(at);
  }
  at += 2;
  if (type == 0x0800) {
    if (!frame.has(at, 20)) return std::nullopt;
    const std::size_t header = static_cast<std::size_t>(frame.u8(at) & 0xf) * 4;
    if (frame.u8(at) >> 4 != 4 || header < 20 || !frame.has(at, header)) return std::nullopt;
    frame.copy<4>(at + 12, seen.address.bytes.data());
    return seen;
  }
  if (type == 0x86dd) {
    if (!frame.has(at, 40) || frame.u8(at) >> 4 != 6) return std::nullopt;
    seen.address.six = true;
    frame.copy<16>(at + 8, seen.address.bytes.data());
    return seen;
  }
  // ARP for IPv4 over Ethernet: hardware 1, protocol 0800, sizes 6 and 4.
  if (type == 0x0806) {
    if (!frame.has(at, 28) || frame.u16(at) != 1 || frame.u16(at + 2) != 0x0800 ||
        frame.u16(at + 4) != 0x0604) {
      return std::nullopt;
    }
    frame.copy<4>(at + 14, seen.address.bytes.data());
    return seen;
  }
  return std::nullopt;
}

// ---- ranges ----

struct Range {
  IpAddress address;
  unsigned bits = 0;

  bool holds(const IpAddress& other) const {
    if (other.six != address.six) return false;
    for (unsigned bit = 0; bit < bits; bit += 8) {
      const auto mask = static_cast<std::uint8_t>(bits - bit >= 8 ? 0xff : 0xff00 >> (bits - bit));
      if ((other.bytes[bit / 8] & mask) != address.bytes[bit / 8]) return false;
    }
    return true;
  }
  bool operator==(const Range&) const = default;
};

std::optional<IpAddress> parse_address(std::string_view text) {
  const std::string copy(text);
  IpAddress address;
  if (::inet_pton(AF_INET, copy.c_str(), address.bytes.data()) == 1) return address;
  address.six = true;
  if (::inet_pton(AF_INET6, copy.c_str(), address.bytes.data()) == 1) return address;
  return std::nullopt;
}

std::optional<unsigned> parse_number(std::string_view text, unsigned high) {
  const std::string copy(text);
  char* end = nullptr;
  errno = 0;
  const unsigned long number = std::strtoul(copy.c_str(), &end, 10);
  if (copy.empty() || *end != '\0' || errno != 0 || copy[0] == '-' || number > high) {
    return std::nullopt;
  }
  return static_cast<unsigned>(number);
}

std::optional<Range> parse_range(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::optional<IpAddress> address = parse_address(text.substr(0, slash));
  if (!address) return std::nullopt;
  Range range{*address, address->six ? 128U : 32U};
  if (slash != std::string_view::npos) {
    const std::optional<unsigned> bits = parse_number(text.substr(slash + 1), range.bits);
    if (!bits) return std::nullopt;
    range.bits = *bits;
  }
  for (unsigned bit = 0; bit < 128; ++bit) {
    if (bit < range.bits) continue;
    auto& byte = range.address.bytes[bit / 8];
    byte = static_cast<std::uint8_t>(byte & ~(0x80U >> (bit % 8)));
  }
  return range;
}

std::string text_of(const IpAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(address.six ? AF_INET6 : AF_INET, address.bytes.data(), text.data(), text.size());
  return text.data();
}

// ---- writing ----

// Lines for a file, written by a thread. Never through a symbolic link, for the user alone.
class LineFile {
 public:
  explicit LineFile(std::string path) : path_(std::move(path)), thread_([this] { run(); }) {}
  ~LineFile() {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }
  LineFile(const LineFile&) = delete;
  LineFile& operator=(const LineFile&) = delete;

  void add(std::string line) {
    {
      const std::lock_guard lock(mutex_);
      if (lines_.size() < kLinesMax) lines_.push_back(std::move(line));
    }
    wake_.notify_one();
  }
  // The file may have been moved away: the next line goes to a new one.
  void reopen() {
    const std::lock_guard lock(mutex_);
    lines_.emplace_back();  // an empty line says so
    wake_.notify_one();
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return ending_ || !lines_.empty(); });
      if (lines_.empty()) return;
      std::deque<std::string> lines;
      lines.swap(lines_);
      lock.unlock();
      for (const std::string& line : lines) write(line);
      lock.lock();
    }
  }
  void write(const std::string& line) {
    if (line.empty()) {
      if (fd_ >= 0) ::close(fd_);
      fd_ = -1;
      return;
    }
    if (fd_ < 0) {
      fd_ = ::open(path_.c_str(),
                   O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    }
    if (fd_ < 0) return;
    if (::write(fd_, line.data(), line.size()) < 0) return;
  }

  std::string path_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::string> lines_;
  bool ending_ = false;
  int fd_ = -1;
  std::thread thread_;
};

bool can_append(const std::string& path) {
  const int fd = ::open(path.c_str(),
                        O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
  if (fd >= 0) ::close(fd);
  return fd >= 0;
}

// ---- the plugin ----

struct Entry {
  std::array<std::uint8_t, 6> mac{};
  std::uint16_t vlan = 0;
  std::uint16_t port = 0;
  std::string user;
  std::uint64_t seen_s = 0;
};

class Iplog {
 public:
  explicit Iplog(const lanyard_host* host) : host_(host) {}
  int start();

 private:
  using Handler = int (Iplog::*)(std::string_view, lanyard_reply*);
  template <Handler handler>
  int add(const char* path, const char* synopsis, const char* help, bool data = false);
  int showinfo(std::string_view, lanyard_reply* reply);
  int logfile(std::string_view text, lanyard_reply*);
  int ipadd(std::string_view text, lanyard_reply*);
  int ipdel(std::string_view text, lanyard_reply*);
  int list(std::string_view, lanyard_reply* reply);
  int iplist(std::string_view, lanyard_reply* reply);
  int ipport(std::string_view text, lanyard_reply* reply);
  int ipuser(std::string_view text, lanyard_reply* reply);
  int ipsearch(std::string_view text, lanyard_reply* reply);
  int setgcint(std::string_view text, lanyard_reply*);
  int setexpire(std::string_view text, lanyard_reply*);

  void frames(lanyard_batch* batch);
  void note(const Seen& seen, std::uint16_t port);
  void announce(const IpAddress& address, const Entry& entry);
  std::string user_of(std::uint16_t port) const;
  void collect();
  void arm();
  void hang_up();
  void line(const std::string& text);
  std::uint64_t now_s() const { return host_->now_ns(host_) / 1000000000; }
  void print(lanyard_reply* reply, const char* format, ...) __attribute__((format(printf, 3, 4)));
  template <typename Wanted>
  int print_entries(lanyard_reply* reply, Wanted&& wanted);

  const lanyard_host* host_;
  std::vector<Range> ranges_;
  std::map<IpAddress, Entry> entries_;
  std::unique_ptr<LineFile> file_;
  std::string path_;  // empty: nowhere, "-": syslog
  int category_ = -1;
  unsigned gc_interval_s_ = 10;
  unsigned gc_expire_s_ = 360;
  std::uint64_t timer_ = 0;
};

void Iplog::frames(lanyard_batch* batch) {
  if (ranges_.empty()) return;
  for (std::uint32_t i = 0; i < batch->count; ++i) {
    const lanyard_frame& frame = *lanyard_frame_at(batch, i);
    if (const std::optional<Seen> seen = read_source(frame.data, frame.length)) {
      note(*seen, batch->port);
    }
  }
}

void Iplog::note(const Seen& seen, std::uint16_t port) {
  if (const auto known = entries_.find(seen.address); known != entries_.end()) {
    Entry& entry = known->second;
    entry.seen_s = now_s();
    if (entry.mac == seen.mac && entry.port == port && entry.vlan == seen.vlan) return;
    entry.mac = seen.mac;
    entry.port = port;
    entry.vlan = seen.vlan;
    entry.user = user_of(port);
    return announce(known->first, entry);
  }
  const auto in_range = [&](const Range& range) { return range.holds(seen.address); };
  bool wanted = false;
  for (const Range& range : ranges_) wanted = wanted || in_range(range);
  if (!wanted || entries_.size() >= kAddressesMax) return;
  const auto added =
      entries_.emplace(seen.address, Entry{seen.mac, seen.vlan, port, user_of(port), now_s()});
  announce(added.first->first, added.first->second);
}

std::string Iplog::user_of(std::uint16_t port) const {
  const std::int64_t user = host_->port_user(host_, port);
  if (user < 0) return "NONE";
  std::array<char, 4096> space{};
  passwd entry{};
  passwd* found = nullptr;
  ::getpwuid_r(static_cast<uid_t>(user), &entry, space.data(), space.size(), &found);
  return found != nullptr ? std::string(found->pw_name) : std::to_string(user);
}

void Iplog::announce(const IpAddress& address, const Entry& entry) {
  std::array<char, 512> text{};
  std::snprintf(text.data(), text.size(),
                "ipv%d %s mac=%02x:%02x:%02x:%02x:%02x:%02x port=%u vlan=%u user=%s \"%s\"",
                address.six ? 6 : 4, text_of(address).c_str(), entry.mac[0], entry.mac[1],
                entry.mac[2], entry.mac[3], entry.mac[4], entry.mac[5], entry.port, entry.vlan,
                entry.user.c_str(), host_->port_description(host_, entry.port));
  host_->tell(host_, category_, text.data());
  line(text.data());
}

void Iplog::line(const std::string& text) {
  if (path_ == "-") {
    ::syslog(LOG_INFO, "%s", text.c_str());
  } else if (file_ != nullptr) {
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    ::localtime_r(&now, &local);
    std::array<char, 32> stamp{};
    std::strftime(stamp.data(), stamp.size(), "%b %d %H:%M:%S ", &local);
    file_->add(stamp.data() + text + "\n");
  }
}

void Iplog::collect() {
  const std::uint64_t now = now_s();
  std::erase_if(entries_, [&](const auto& one) { return now - one.second.seen_s > gc_expire_s_; });
}

void Iplog::arm() {
  host_->remove_timer(host_, timer_);
  const std::uint64_t period = std::uint64_t{gc_interval_s_} * 1000000000;
  timer_ = host_->add_timer(
      host_, period, period, [](void* self) { static_cast<Iplog*>(self)->collect(); }, this);
}

void Iplog::hang_up() {
  if (file_ == nullptr) return;
  line("SIGHUP: closing file");
  file_->reopen();
  line("SIGHUP: opening file");
}

// ---- commands ----

void Iplog::print(lanyard_reply* reply, const char* format, ...) {
  std::array<char, 1024> text{};
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text.data(), text.size(), format, arguments);
  va_end(arguments);
  host_->reply(host_, reply, text.data());
}

int Iplog::showinfo(std::string_view, lanyard_reply* reply) {
  print(reply, "iplog: ip/port/user logging plugin");
  if (path_.empty()) {
    print(reply, "log disabled");
  } else if (path_ == "-") {
    print(reply, "log on syslog");
  } else {
    print(reply, "log on file %s", path_.c_str());
  }
  print(reply, "GC interval %u secs", gc_interval_s_);
  print(reply, "GC expire %u secs", gc_expire_s_);
  return 0;
}

int Iplog::logfile(std::string_view text, lanyard_reply*) {
  const std::string path(text);
  if (!path.empty() && path != "-" && !can_append(path)) return -errno;
  file_.reset();
  path_ = path;
  if (!path.empty() && path != "-") file_ = std::make_unique<LineFile>(path);
  return 0;
}

int Iplog::ipadd(std::string_view text, lanyard_reply*) {
  const std::optional<Range> range = parse_range(text);
  if (!range) return -EINVAL;
  for (const Range& known : ranges_) {
    if (known == *range) return -EEXIST;
  }
  if (ranges_.size() >= kRangesMax) return -ENOSPC;
  ranges_.push_back(*range);
  return 0;
}

int Iplog::ipdel(std::string_view text, lanyard_reply*) {
  const std::optional<Range> range = parse_range(text);
  if (!range) return -EINVAL;
  return std::erase(ranges_, *range) == 0 ? -ENOENT : 0;
}

int Iplog::list(std::string_view, lanyard_reply* reply) {
  for (const Range& range : ranges_) {
    print(reply, "  ipv%d: %s/%u", range.address.six ? 6 : 4, text_of(range.address).c_str(),
          range.bits);
  }
  return 0;
}

template <typename Wanted>
int Iplog::print_entries(lanyard_reply* reply, Wanted&& wanted) {
  for (const auto& [address, entry] : entries_) {
    if (!wanted(address, entry)) continue;
    print(reply, "ipv%d %s port=%u user=%s", address.six ? 6 : 4, text_of(address).c_str(),
          entry.port, entry.user.c_str());
  }
  return 0;
}

int Iplog::iplist(std::string_view, lanyard_reply* reply) {
  return print_entries(reply, [](const IpAddress&, const Entry&) { return true; });
}

int Iplog::ipport(std::string_view text, lanyard_reply* reply) {
  const std::optional<unsigned> port = parse_number(text, 65534);
  if (!port) return -EINVAL;
  return print_entries(reply,
                       [&](const IpAddress&, const Entry& entry) { return entry.port == *port; });
}

int Iplog::ipuser(std::string_view text, lanyard_reply* reply) {
  return print_entries(reply,
                       [&](const IpAddress&, const Entry& entry) { return entry.user == text; });
}

int Iplog::ipsearch(std::string_view text, lanyard_reply* reply) {
  const std::optional<IpAddress> wanted = parse_address(text);
  if (!wanted) return -EINVAL;
  return print_entries(reply,
                       [&](const IpAddress& address, const Entry&) { return address == *wanted; });
}

int Iplog::setgcint(std::string_view text, lanyard_reply*) {
  const std::optional<unsigned> seconds = parse_number(text, 86400);
  if (!seconds || *seconds == 0) return -EINVAL;
  gc_interval_s_ = *seconds;
  arm();
  return 0;
}

int Iplog::setexpire(std::string_view text, lanyard_reply*) {
  const std::optional<unsigned> seconds = parse_number(text, 31536000);
  if (!seconds) return -EINVAL;
  gc_expire_s_ = *seconds;
  return 0;
}

template <Iplog::Handler handler>
int Iplog::add(const char* path, const char* synopsis, const char* help, bool data) {
  lanyard_command row{};
  row.size = sizeof row;
  row.has_data = data ? 1 : 0;
  row.effect = data ? LANYARD_SHOWS : LANYARD_ADDS;
  row.path = path;
  row.synopsis = synopsis;
  row.help = help;
  row.run = [](void* self, const char* arguments, lanyard_reply* reply) {
    return (static_cast<Iplog*>(self)->*handler)(arguments, reply);
  };
  return host_->add_command(host_, &row);
}

int Iplog::start() {
  lanyard_filter filter{};
  filter.size = sizeof filter;
  filter.directions = LANYARD_INGRESS;
  filter.frames = [](void* self, lanyard_batch* batch) {
    static_cast<Iplog*>(self)->frames(batch);
  };
  if (const int error = host_->add_filter(host_, &filter); error < 0) return error;
  lanyard_category category{};
  category.size = sizeof category;
  category.tag = 0301;
  category.path = "iplog/newip";
  category.help = "iplog: new IP address, or one that has moved";
  category_ = host_->add_category(host_, &category);
  host_->subscribe(host_, "sig/hup",
                   [](void* self, const lanyard_event*) { static_cast<Iplog*>(self)->hang_up(); });
  add<&Iplog::showinfo>("iplog/showinfo", "", "show the settings", true);
  add<&Iplog::logfile>("iplog/logfile", "FILE|-|", "log to a file, to syslog, or not at all");
  add<&Iplog::ipadd>("iplog/ipadd", "NET/BITS", "log addresses of this range");
  add<&Iplog::ipdel>("iplog/ipdel", "NET/BITS", "no longer");
  add<&Iplog::list>("iplog/list", "", "list the ranges", true);
  add<&Iplog::iplist>("iplog/iplist", "", "list the addresses in use", true);
  add<&Iplog::ipport>("iplog/ipport", "N", "list those behind port N", true);
  add<&Iplog::ipuser>("iplog/ipuser", "USER", "list those of a user", true);
  add<&Iplog::ipsearch>("iplog/ipsearch", "ADDRESS", "who has this address", true);
  add<&Iplog::setgcint>("iplog/setgcint", "N", "seconds between clean-ups");
  const int error = add<&Iplog::setexpire>("iplog/setexpire", "N", "seconds until forgotten");
  arm();
  return error;
}

int start_plugin(const lanyard_host* host, void** self) {
  auto iplog = std::make_unique<Iplog>(host);
  if (const int error = iplog->start(); error < 0) return error;
  *self = iplog.release();
  return 0;
}

void stop_plugin(void* self) {
  delete static_cast<Iplog*>(self);
}

}  // namespace

LANYARD_PLUGIN("iplog", "log the IP addresses behind ports", start_plugin, stop_plugin);
