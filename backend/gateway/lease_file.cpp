// SPDX-License-Identifier: MIT
#include "backend/gateway/lease_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "switch/base/file_status.h"
#include "switch/base/text.h"

namespace lanyard {
namespace {

constexpr std::string_view kHeader = "lanyard leases 1";
constexpr std::string_view kErased = "-";
constexpr std::string_view kDeclined = "!";
// Written anew when it has so many lines and twice as many as there are leases.
constexpr std::size_t kLinesMin = 16384;
constexpr off_t kSizeMax = off_t{256} << 20;

// CRC-32 of IEEE 802.3: finds what a cut or a bad disk does to a line.
std::uint32_t checksum(std::string_view text) {
  std::uint32_t crc = ~std::uint32_t{0};
  for (const char c : text) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xedb88320U : 0);
  }
  return ~crc;
}

std::string with_checksum(std::string line) {
  append(line, " {:08x}", checksum(line));
  return line;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

std::optional<std::string> from_hex(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = hex_digit(text[i]);
    const int low = hex_digit(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(high << 4 | low));
  }
  return bytes;
}

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

// nullopt with errno set.
std::optional<std::string> read_all(int fd) {
  std::string content;
  std::array<char, 65536> chunk{};
  for (;;) {
    const ssize_t size =
        ::pread(fd, chunk.data(), chunk.size(), static_cast<off_t>(content.size()));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return std::nullopt;
    if (size == 0) return content;
    content.append(chunk.data(), static_cast<std::size_t>(size));
  }
}

void sync_directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd) ::fsync(fd.get());
}

}  // namespace

std::string lease_line(const Lease& lease) {
  if (lease.state == LeaseState::declined) {
    return with_checksum(fmt::format("{} {} {} {}", lease.address.text(), kDeclined,
                                     lease.mac.text(), lease.expires_s));
  }
  std::string line = fmt::format("{} {} x", lease.address.text(), lease.mac.text());
  for (const char byte : lease.client_id) append(line, "{:02x}", static_cast<unsigned char>(byte));
  append(line, " ={} {} {}", lease.name, lease.expires_s, lease.lease_time_s);
  return with_checksum(std::move(line));
}

std::string lease_erased_line(Ipv4Address address) {
  return with_checksum(fmt::format("{} {}", address.text(), kErased));
}

namespace {

// Of an address that somebody else uses.
std::optional<LeaseChange> parse_declined(Ipv4Address address, std::string_view mac_text,
                                          std::string_view expires_text) {
  const auto mac = MacAddress::parse(mac_text);
  const auto expires = parse_integer(expires_text);
  if (!mac || !expires) return std::nullopt;
  Lease lease;
  lease.address = address;
  lease.mac = *mac;
  lease.state = LeaseState::declined;
  lease.expires_s = *expires;
  return LeaseChange{address, std::move(lease)};
}

}  // namespace

std::optional<LeaseChange> parse_lease_line(std::string_view line) {
  const std::size_t end = line.rfind(' ');
  if (end == std::string_view::npos || with_checksum(std::string(line.substr(0, end))) != line) {
    return std::nullopt;
  }
  const auto words = split_words(line.substr(0, end));
  if (words.size() < 2) return std::nullopt;
  const auto address = Ipv4Address::parse(words[0]);
  if (!address) return std::nullopt;
  if (words.size() == 2 && words[1] == kErased) return LeaseChange{*address, std::nullopt};
  if (words.size() == 4 && words[1] == kDeclined) {
    return parse_declined(*address, words[2], words[3]);
  }
  if (words.size() != 6 || !words[2].starts_with('x') || !words[3].starts_with('=')) {
    return std::nullopt;
  }
  const auto mac = MacAddress::parse(words[1]);
  const auto client = from_hex(words[2].substr(1));
  const auto expires = parse_integer(words[4]);
  const auto lease_time = parse_integer(words[5]);
  if (!mac || !client || client->empty() || !expires || !lease_time) return std::nullopt;
  if (*lease_time < 0 || *lease_time > UINT32_MAX) return std::nullopt;
  Lease lease;
  lease.address = *address;
  lease.mac = *mac;
  lease.client_id = *client;
  lease.name = words[3].substr(1);
  lease.expires_s = *expires;
  lease.lease_time_s = static_cast<std::uint32_t>(*lease_time);
  return LeaseChange{*address, std::move(lease)};
}

LeaseFile::LeaseFile(std::string path, Log& log) : path_(std::move(path)), log_(log) {}

std::vector<Lease> LeaseFile::load() {
  leases_.clear();
  lines_ = 0;
  file_.reset();
  // Not blocking: whatever somebody has put there, it must not stop the start.
  constexpr int kFlags = O_APPEND | O_CLOEXEC | O_NONBLOCK;
  UniqueFd fd(::open(path_.c_str(), O_RDWR | kFlags));
  const bool writable = static_cast<bool>(fd);
  // One that can only be read is none the worse for it.
  if (!fd && (errno == EACCES || errno == EPERM || errno == EROFS)) {
    fd.reset(::open(path_.c_str(), O_RDONLY | kFlags));
  }
  struct stat info {};
  bool goes_on = false;
  if (!fd) {
    if (errno != ENOENT) set_aside(std::strerror(errno));
  } else if (!file_status(fd.get(), info) || !S_ISREG(info.st_mode)) {
    set_aside("it is no regular file");
  } else if (info.st_size > kSizeMax) {
    set_aside(fmt::format("it has {} bytes", info.st_size));
  } else if (const auto content = read_all(fd.get())) {
    goes_on = read(*content) && writable;
  } else {
    set_aside(std::strerror(errno));
  }
  if (goes_on) {
    file_ = std::move(fd);
  } else {
    write_anew();
  }
  std::vector<Lease> all;
  all.reserve(leases_.size());
  for (const auto& [address, lease] : leases_) all.push_back(lease);
  return all;
}

// Whether it can be written on as it is.
bool LeaseFile::read(std::string_view content) {
  const bool ours = content.starts_with(kHeader) || kHeader.starts_with(content);
  std::size_t damaged = 0;
  bool is_cut = false;
  std::string_view rest = content;
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    is_cut = end == std::string_view::npos;
    ++lines_;
    if (line.empty() || line == kHeader) continue;
    if (auto change = parse_lease_line(line)) {
      apply(std::move(*change));
    } else if (!is_cut) {
      ++damaged;
    }
  }
  if (!ours || damaged > 0) {
    set_aside(
        fmt::format("{} of its lines cannot be read; {} leases are kept", damaged, leases_.size()));
  } else if (is_cut) {
    log_.notice("the lease file {} was cut while it was written: one change may be lost", path_);
  }
  return ours && damaged == 0 && !is_cut && !content.empty();
}

void LeaseFile::apply(LeaseChange change) {
  if (change.lease) {
    leases_[change.address] = std::move(*change.lease);
  } else {
    leases_.erase(change.address);
  }
}

void LeaseFile::put(const Lease& lease) {
  leases_[lease.address] = lease;
  append(lease_line(lease));
}

void LeaseFile::erase(Ipv4Address address) {
  if (leases_.erase(address) > 0) append(lease_erased_line(address));
}

void LeaseFile::replace(std::span<const Lease> leases) {
  leases_.clear();
  for (const Lease& lease : leases) leases_[lease.address] = lease;
  write_anew();
}

void LeaseFile::append(std::string line) {
  if (incomplete_ || !file_ || (lines_ >= kLinesMin && lines_ >= 2 * leases_.size())) {
    write_anew();
    return;
  }
  line += '\n';
  ++lines_;
  if (write_all(file_.get(), line)) return;
  report(std::strerror(errno));
  incomplete_ = true;
}

// Everything that is known, beside the file and then in its place. When that fails the old one
// stays, and the next change tries again.
bool LeaseFile::write_anew() {
  const std::string beside = path_ + ".new";
  std::string content(kHeader);
  content += '\n';
  for (const auto& [address, lease] : leases_) content += lease_line(lease) + '\n';
  UniqueFd fd(::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600));
  if (!fd || !write_all(fd.get(), content) || ::fsync(fd.get()) != 0 ||
      ::rename(beside.c_str(), path_.c_str()) != 0) {
    const int why = errno;
    // Its room is given back, by a call that is made anyway; the next try writes it anew.
    if (fd) fd.reset(::open(beside.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
    incomplete_ = true;
    report(std::strerror(why));
    return false;
  }
  sync_directory_of(path_);
  if (reported_) log_.notice("the lease file {} can be written again", path_);
  reported_ = false;
  incomplete_ = false;
  lines_ = leases_.size();
  file_ = std::move(fd);
  return true;
}

void LeaseFile::set_aside(std::string_view why) {
  const std::string aside = path_ + ".damaged";
  const bool moved = ::rename(path_.c_str(), aside.c_str()) == 0;
  log_.warning("the lease file {}: {}; {}", path_, why,
               moved ? "it is set aside as " + aside : std::string("it stays where it is"));
}

void LeaseFile::report(std::string_view what) {
  if (!reported_) {
    log_.error(
        "the lease file {} cannot be written: {}; leases are forgotten when the gateway ends",
        path_, what);
  }
  reported_ = true;
}

}  // namespace lanyard
