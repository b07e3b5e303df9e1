fn main() -> anyhow::Result<()> {
    tidemill::cli::main()
}
