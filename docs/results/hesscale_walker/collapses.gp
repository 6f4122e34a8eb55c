# gnuplot collapses.gp makes collapses.svg; with -e "format='png'", collapses.png
if (!exists("format")) format = 'svg'
if (format eq 'svg') {
  set terminal svg noenhanced background 'white' size 900,600
} else {
  if (strstrt(GPVAL_TERMINALS, 'pngcairo')) {
    set terminal pngcairo noenhanced size 900,600
  } else {
    set terminal png noenhanced size 900,600
  }
}
set output 'collapses.'.format
set datafile separator ','
heading = "Trainings that collapse"."\n"."HesScale: PPO's collapses over Adam's learning rate, with scaled steps and without; cpu scale (5 of"."\n"."9 learning rates, 3 of 10 seeds, 1228800 of 2 million steps)"
set label 1 heading at screen 0.5, screen 0.97 center
set tmargin 5
set logscale x
set xlabel 'learning rate'
set key below
set yrange [-2:102]
set ylabel 'collapsed, %'
plot 'shares.csv' using 2:(strcol(1) eq 'Adam' ? column(3) : NaN) every ::1 with linespoints lw 2 pt 7 title 'Adam', 'shares.csv' using 2:(strcol(1) eq 'AdamHesScale' ? column(3) : NaN) every ::1 with linespoints lw 2 pt 7 title 'AdamHesScale'
