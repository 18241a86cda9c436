//! The limits.

use clap::Args;
use testbox_config::{Auto, Count, Cpus, Layer, OrNone, Typed, flag};
use testbox_model::{Rate, Size};

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct LimitOptions {
    /// Memory of the whole box: processes, scratch space and page cache
    ///
    /// What counts is memory in use, not address space. When it is used up the kernel kills in the box, and testbox exits
    /// with 120. Accepted are sizes like 512M or 2GiB, a share of this machine's memory like 50%, and `auto`: 3/4 of what
    /// is available now, at most the total less 1 GiB. Example: --memory 2G
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory: Option<Typed<Auto<Size>>>,

    /// Swap on top of the memory
    ///
    /// Accepted are sizes up to the machine's swap. Example: --swap 1G
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    swap: Option<Typed<Size>>,

    /// Processes and threads of the whole box
    ///
    /// When forks fail because of it and the command fails, testbox exits with 121. Accepted are whole numbers from 8.
    /// Example: --pids 64
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pids: Option<Typed<Count>>,

    /// CPUs' worth of time
    ///
    /// Accepted are numbers like 2 or 1.5, at most those of the machine, and `all`. Example: --cpus 1.5
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    cpus: Option<Typed<Cpus>>,

    /// Open files of each process
    ///
    /// Accepted are whole numbers from 32 up to testbox's own hard limit. Example: --nofile 1024
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    nofile: Option<Typed<Count>>,

    /// Reads from the device that the project lies on, per second
    ///
    /// Accepted are rates from 4K, and `none`. Example: --io-read 50M
    #[arg(long, value_name = "RATE", allow_hyphen_values = true)]
    io_read: Option<Typed<OrNone<Rate>>>,

    /// Writes to the device that the project lies on, per second
    ///
    /// Accepted are rates from 4K, and `none`. Example: --io-write 10M
    #[arg(long, value_name = "RATE", allow_hyphen_values = true)]
    io_write: Option<Typed<OrNone<Rate>>>,

    /// Scratch space: /tmp, HOME and what is written to the view of the project
    ///
    /// It lies in memory and is charged to --memory; inodes are bounded with it. When it is full and the command fails,
    /// testbox exits with 122. Accepted are sizes from 1M to the memory limit, and `auto`: 1/4 of the memory limit, at
    /// least 64M. Example: --tmp-size 1G
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    tmp_size: Option<Typed<Auto<Size>>>,

    /// Output of the command, stdout and stderr together
    ///
    /// When there is more, the run is ended and testbox exits with 123. Accepted are sizes from 1K.
    /// Example: --output-limit 8M
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    output_limit: Option<Typed<Size>>,

    /// Size of one file
    ///
    /// A process that writes more gets SIGXFSZ, and testbox exits with 122. Accepted are sizes from 4K, and `none`.
    /// Example: --fsize 1G
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    fsize: Option<Typed<OrNone<Size>>>,
}

impl LimitOptions {
    pub(super) fn fill(&self, layer: &mut Layer) {
        layer.memory = flag("memory", self.memory.clone());
        layer.swap = flag("swap", self.swap.clone());
        layer.pids = flag("pids", self.pids.clone());
        layer.cpus = flag("cpus", self.cpus.clone());
        layer.nofile = flag("nofile", self.nofile.clone());
        layer.io_read = flag("io-read", self.io_read.clone());
        layer.io_write = flag("io-write", self.io_write.clone());
        layer.tmp_size = flag("tmp-size", self.tmp_size.clone());
        layer.output_limit = flag("output-limit", self.output_limit.clone());
        layer.fsize = flag("fsize", self.fsize.clone());
    }
}
