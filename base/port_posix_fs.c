/* Which file systems can hold a live store (R25): not those where a lock, a rename or a sync of this
 * machine means nothing to another, or where a user process stands between us and the disk. */
#include "base/port_posix.h"

static const struct {
    uint32_t magic; /* statfs f_type, as in linux/magic.h and the file systems' own sources */
    const char *name;
    bool suits;
} kinds[] = {
    {0x0000EF53, "ext4", true},     {0x58465342, "xfs", true},      {0x9123683E, "btrfs", true},
    {0x01021994, "tmpfs", true},    {0x858458F6, "ramfs", true},    {0x794C7630, "overlayfs", true},
    {0xF2F52010, "f2fs", true},     {0x2FC12FC1, "zfs", true},      {0xCA451A4E, "bcachefs", true},
    {0x3153464A, "jfs", true},      {0x52654973, "reiserfs", true}, {0x00003434, "nilfs2", true},
    {0x0000F15F, "ecryptfs", true}, {0x5346544E, "ntfs", true},     {0x7366746E, "ntfs3", true},
    {0x2011BAB0, "exfat", true},    {0x00004D44, "vfat", true},     {0x24051905, "ubifs", true},
    {0x00006969, "nfs", false},     {0x0000517B, "smb", false},     {0xFF534D42, "cifs", false},
    {0xFE534D42, "smb2", false},    {0x01021997, "9p", false},      {0x65735546, "fuse", false},
    {0x00C36400, "ceph", false},    {0x5346414F, "afs", false},     {0x6B414653, "kafs", false},
    {0x73757245, "coda", false},    {0x0000564C, "ncp", false},     {0x01161970, "gfs2", false},
    {0x7461636F, "ocfs2", false},   {0x0BD00BD0, "lustre", false},  {0x47504653, "gpfs", false},
    {0x786F4256, "vboxsf", false},  {0xBACBACBC, "vmhgfs", false},  {0x7C7C6673, "prlfs", false},
    {0xAAD7AAEA, "panfs", false},   {0x19830326, "beegfs", false},  {0x61756673, "aufs", false},
};

void dbk_posix_fs_kind(uint32_t magic, const char **name, bool *suits_live_store)
{
    *name = "unknown";
    *suits_live_store = true;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (kinds[i].magic != magic) continue;
        *name = kinds[i].name;
        *suits_live_store = kinds[i].suits;
    }
}
