// SPDX-License-Identifier: MIT
//
// The `pcap` backend: an interface of the host through libpcap, in promiscuous mode. What its wire
// carries comes in, and what goes out is sent on its wire; the host's own stack is not part of it.
//
// What makes it hard: libpcap gathers frames for a while before it shows them, which made the
// programs of this kind look dead; in immediate mode it does not. And the interface belongs to the
// system, which may take it down or away: then the port is empty, and held until it is back.
#include <net/if.h>
#include <pcap/pcap.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "backend/kept_cable.h"
#include "backend/mmsg.h"
#include "switch/base/text.h"
#include "switch/frame/frame_pool.h"

namespace lanyard {
namespace {

// Room for some hundreds of frames of the longest kind; libpcap's own 2 MiB hold thirty.
constexpr int kRingBytes = 16 << 20;
constexpr int kStandardMtu = 1500;

struct PcapClose {
  void operator()(pcap_t* handle) const { ::pcap_close(handle); }
};
using PcapHandle = std::unique_ptr<pcap_t, PcapClose>;

class PcapEndpoint final : public Endpoint {
 public:
  PcapEndpoint(PcapHandle handle, std::string name, std::uint32_t frame_max, FramePool& pool,
               std::shared_ptr<DatagramBatches> batches)
      : handle_(std::move(handle)),
        name_(std::move(name)),
        pool_(pool),
        batches_(std::move(batches)) {
    caps_.frame_max = frame_max;
  }

  std::string label() const override { return name_; }
  Caps caps() const override { return caps_; }
  int wait_fd() const override { return ::pcap_get_selectable_fd(handle_.get()); }

  Rx receive(FrameBatch& into) override {
    into_ = &into;
    const int count = ::pcap_dispatch(handle_.get(), static_cast<int>(into.room()), &on_frame,
                                      reinterpret_cast<u_char*>(this));
    into_ = nullptr;
    if (count < 0) return Rx::closed;
    return into.room() == 0 ? Rx::more : Rx::drained;
  }

  // The descriptor is a packet socket that is bound to the interface.
  Transmitted transmit(std::span<const Outgoing> frames) override {
    return batches_->transmit(::pcap_fileno(handle_.get()), frames);
  }

 private:
  static void on_frame(u_char* self, const pcap_pkthdr* header, const u_char* bytes) {
    auto* const endpoint = reinterpret_cast<PcapEndpoint*>(self);
    if (endpoint->into_->room() == 0) return;
    const std::size_t size = std::min<std::size_t>(header->caplen, kMaxFrameSize);
    FrameRef frame = endpoint->pool_.make();
    std::uint8_t* const data = frame->segments[0].data;
    std::memcpy(data, bytes, size);
    frame->set_bytes(data, static_cast<std::uint32_t>(size));
    frame->truncated = size < header->len;
    endpoint->into_->push(std::move(frame));
  }

  PcapHandle handle_;
  std::string name_;
  Caps caps_;
  FramePool& pool_;
  std::shared_ptr<DatagramBatches> batches_;
  FrameBatch* into_ = nullptr;
};

int mtu_of(const std::string& name) {
  const UniqueFd any(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::memcpy(request.ifr_name, name.data(), std::min<std::size_t>(name.size(), IFNAMSIZ - 1));
  return ::ioctl(any.get(), SIOCGIFMTU, &request) == 0 ? request.ifr_mtu : kStandardMtu;
}

Error cannot_activate(pcap_t* handle, int status) {
  switch (status) {
    case PCAP_ERROR_NO_SUCH_DEVICE: return {ENODEV, "there is no such interface"};
    case PCAP_ERROR_IFACE_NOT_UP: return {ENETDOWN, "the interface is down"};
    case PCAP_ERROR_PERM_DENIED: return {EPERM, "capturing needs CAP_NET_RAW"};
    default: {
      const std::string more = ::pcap_geterr(handle);
      return {EIO, more.empty() ? ::pcap_statustostr(status) : more};
    }
  }
}

Result<PcapHandle> activate(const std::string& name) {
  std::array<char, PCAP_ERRBUF_SIZE> text{};
  PcapHandle handle(::pcap_create(name.c_str(), text.data()));
  if (handle == nullptr) return Error{EIO, text.data()};
  pcap_t* const p = handle.get();
  ::pcap_set_snaplen(p, static_cast<int>(kMaxFrameSize));
  ::pcap_set_promisc(p, 1);
  ::pcap_set_immediate_mode(p, 1);
  ::pcap_set_buffer_size(p, kRingBytes);
  if (const int status = ::pcap_activate(p); status < 0) return cannot_activate(p, status);
  if (::pcap_datalink(p) != DLT_EN10MB) {
    return Error{EPROTONOSUPPORT, "it does not carry Ethernet frames"};
  }
  if (::pcap_setnonblock(p, 1, text.data()) != 0) return Error{EIO, text.data()};
  // What the host itself sends is not what the wire brings.
  if (::pcap_setdirection(p, PCAP_D_IN) != 0) return Error{EIO, ::pcap_geterr(p)};
  if (::pcap_get_selectable_fd(p) < 0) return Error{EIO, "libpcap has nothing to wait for"};
  return handle;
}

Result<MadeCable> make(const std::string& name, FramePool& pool,
                       const std::shared_ptr<DatagramBatches>& batches) {
  Result<PcapHandle> handle = activate(name);
  if (!handle) return handle.error();
  MadeCable made;
  made.id = ::pcap_fileno(handle.value().get());
  const auto frame_max =
      static_cast<std::uint32_t>(mtu_of(name)) + kEthernetHeaderSize + kVlanTagSize;
  made.endpoint = std::make_unique<PcapEndpoint>(
      handle.take(), name, static_cast<std::uint32_t>(frame_max), pool, batches);
  return made;
}

Result<void> open_pcap(const BackendOptions& options, Patchbay& patchbay) {
  if (Result<void> known = options.check_keys({"port"}); !known) return known;
  Result<std::optional<PortId>> port = read_port_option(options);
  if (!port) return port.error();
  const std::string& name = options.target();
  if (name.empty() || name.size() >= IFNAMSIZ) {
    return Error{EINVAL, fmt::format("pcap: '{}': an interface name has 1 to {} characters",
                                     printable(name), IFNAMSIZ - 1)};
  }
  KeptCableSettings settings;
  settings.name = name;
  settings.module = "pcap";
  settings.port = port.value();
  settings.url = "pcap://" + name;
  const auto batches = std::make_shared<DatagramBatches>(patchbay.pool());
  settings.begin = [name, batches, &pool = patchbay.pool()](const KeptCableSettings::Done& done) {
    done(make(name, pool, batches));
    return nullptr;
  };
  return keep_cable(std::move(settings), patchbay);
}

}  // namespace

extern const Backend pcap_backend;
const Backend pcap_backend{
    "pcap",
    "pcap://INTERFACE?port=N",
    "plug in the wire of a network interface of the host, through libpcap",
    &open_pcap,
};

}  // namespace lanyard
